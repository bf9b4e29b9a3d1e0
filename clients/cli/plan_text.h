// A plan in words.
#pragma once

#include "clients/cli/verb.h"

namespace slipway::cli {

// What becomes of a service, and of its image; `to` is the slot that the release starts in.
std::string ActionText(const pb::ServicePlan& service, pb::Slot to);
std::string ImageText(const pb::ServicePlan& service);

// Exit code 8 when the plan names a problem that would stop the deployment.
int ShowPlan(Session& session, const pb::Plan& plan, bool up_to_date);

}  // namespace slipway::cli
