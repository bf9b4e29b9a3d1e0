// Shows a deployment to its end.
#pragma once

#include <optional>

#include "clients/cli/verb.h"

namespace slipway::cli {

// Answers the exit code for the outcome. Ctrl-C leaves the deployment running and says how to come
// back or cancel; interruption.h has the moments before. A GitHub job is told of begin and end; the
// plan is for its page.
int FollowDeployment(Session& session, client::ControllerClient& controller,
                     const pb::Deployment& deployment, bool show_logs,
                     std::optional<pb::Plan> plan = std::nullopt);

// The full resource name of DEPLOYMENT (empty for the newest) of the application.
std::string DeploymentNameOf(const std::string& app, const std::string& deployment);

}  // namespace slipway::cli
