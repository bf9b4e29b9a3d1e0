// A plan in words.
#pragma once

#include "clients/cli/verb.h"

namespace slipway::cli {

// Exit code 8 when the plan names a problem that would stop the deployment.
int ShowPlan(Session& session, const pb::Plan& plan, bool up_to_date);

}  // namespace slipway::cli
