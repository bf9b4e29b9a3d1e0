// Shows a deployment to its end.
#pragma once

#include "clients/cli/verb.h"

namespace slipway::cli {

struct FollowOptions {
  bool show_logs = false;
  // The first signal asks the controller to cancel the deployment, and how that ends is shown; else it leaves at once.
  bool cancel_on_signal = false;
  // The deployment was begun here: while it is shown, it is not abandoned.
  bool attend = false;
};

// Answers the exit code for the outcome; a deployment that waits for a person ends it too. `after` is the last event that is not
// shown. Signals from HoldInterruptions() on are acted upon here. A GitHub job is told of begin
// and end.
int FollowDeployment(Session& session, client::ControllerClient& controller,
                     const pb::Deployment& deployment, const FollowOptions& options,
                     uint64_t after = 0);

// The full resource name of DEPLOYMENT (empty for the newest) of the application.
std::string DeploymentNameOf(const std::string& app, const std::string& deployment);

}  // namespace slipway::cli
