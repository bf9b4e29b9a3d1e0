// How a deployment ends, in state and in words: what failed, what is true now, what to do. Pure.
#pragma once

#include <string>

#include "controller/store/records.h"

namespace slipway::controller {

struct Outcome {
  pb::DeploymentState state = pb::DEPLOYMENT_STATE_UNSPECIFIED;
  pb::FailureReason reason = pb::FAILURE_REASON_UNSPECIFIED;
  std::string message;
  // The new release was observed on every host that does not stay behind.
  bool serves = false;
};

// Every step has run.
Outcome FinishedOutcome(const DeploymentRecord& deployment);
// Everything that can be undone was.
Outcome UndoneOutcome(const DeploymentRecord& deployment);

pb::DeploymentState HostOutcome(const RolloutRecord& rollout, const Outcome& outcome);

}  // namespace slipway::controller
