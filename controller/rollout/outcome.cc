#include "controller/rollout/outcome.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/spec.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

bool ServesEverywhere(const DeploymentRecord& deployment) {
  return !deployment.rollouts.empty() &&
         std::all_of(deployment.rollouts.begin(), deployment.rollouts.end(),
                     [](const RolloutRecord& one) { return Serves(one) && !IsStuck(one); });
}

// "release 3f2c1a on blue", per host when they differ.
std::string WhatServedBefore(const DeploymentRecord& deployment) {
  std::vector<std::string> parts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    const pb::PreflightEvidence seen = PreflightOf(rollout);
    if (!seen.active_release().empty()) {
      parts.push_back(absl::StrCat(rollout.host, " serves release ", seen.active_release(), " on ",
                                   SlotWord(seen.active_slot())));
    } else if (seen.adopted_port() != 0) {
      parts.push_back(
          absl::StrCat(rollout.host, " serves the older version on port ", seen.adopted_port()));
    }
  }
  return absl::StrJoin(parts, ", ");
}

std::string Sentence(absl::string_view text) {
  return text.empty() ? "" : absl::StrCat(text, ". ");
}

std::string Warnings(const DeploymentRecord& deployment) {
  std::vector<std::string> parts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    for (const StepRecord& step : rollout.steps) {
      if (step.state != pb::STEP_STATE_FAILED && step.state != pb::STEP_STATE_UNKNOWN) continue;
      parts.push_back(absl::StrCat(step.name, " on ", rollout.host, ": ", step.summary));
    }
  }
  return absl::StrJoin(parts, "; ");
}

// Hosts that could not be brought back, with the reason.
std::vector<std::string> LeftBehind(const DeploymentRecord& deployment) {
  std::vector<std::string> parts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    const StepRecord* undo = FindStep(rollout, "undo:start");
    if (IsStuck(rollout)) {
      const StepRecord* step = FindStep(rollout, "undo:switch");
      if (step == nullptr) step = FindStep(rollout, "switch");
      const bool unknown = step->state == pb::STEP_STATE_UNKNOWN;
      parts.push_back(absl::StrCat(
          rollout.host,
          unknown ? ": nobody knows which release it serves (" : ": it could not be brought back (",
          step->summary, ")"));
    } else if (Serves(rollout)) {
      parts.push_back(absl::StrCat(rollout.host, ": it serves the failed release ",
                                   deployment.release, ", for nothing served before it"));
    } else if (undo != nullptr && undo->state != pb::STEP_STATE_DONE) {
      parts.push_back(
          absl::StrCat(rollout.host, ": the candidate could not be removed (", undo->summary, ")"));
    }
  }
  return parts;
}

bool WentBack(const RolloutRecord& rollout) {
  const StepRecord* step = FindStep(rollout, "switch");
  return step != nullptr && step->state == pb::STEP_STATE_COMPENSATED;
}

}  // namespace

Outcome FinishedOutcome(const DeploymentRecord& deployment) {
  Outcome outcome;
  outcome.serves = ServesEverywhere(deployment);
  const std::string late = deployment.cancel_requested ? "The cancel came too late. " : "";
  const std::string warnings = Warnings(deployment);
  if (deployment.reason != pb::FAILURE_REASON_UNSPECIFIED || !outcome.serves) {
    outcome.state = pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
    outcome.reason = deployment.reason;
    outcome.message = absl::StrCat(
        late, "Release ", deployment.release, outcome.serves ? " serves" : " was switched to",
        ", but ", deployment.message, ". Mend it and deploy again, or go back: `slipway rollback ",
        deployment.app, "`");
    return outcome;
  }
  outcome.state = pb::DEPLOYMENT_STATE_SUCCEEDED;
  outcome.message = absl::StrCat(late, "Release ", deployment.release, " serves on every host",
                                 warnings.empty() ? "" : ". Warnings: ", warnings);
  return outcome;
}

Outcome UndoneOutcome(const DeploymentRecord& deployment) {
  Outcome outcome;
  outcome.reason = deployment.reason;
  const std::vector<std::string> left = LeftBehind(deployment);
  const std::string before = WhatServedBefore(deployment);
  const bool went_back =
      std::any_of(deployment.rollouts.begin(), deployment.rollouts.end(), WentBack);
  const std::string why = absl::StrCat("See `slipway why ", deployment.app, "`");
  if (!left.empty()) {
    outcome.state = pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
    outcome.serves = ServesEverywhere(deployment);
    outcome.message =
        absl::StrCat(Sentence(deployment.message), "NOT UNDONE on ", absl::StrJoin(left, "; "),
                     ". A person must look: `slipway status ", deployment.app,
                     "` and `slipway why ", deployment.app, "`");
    return outcome;
  }
  const bool cancelled = deployment.reason == pb::FAILURE_REASON_CANCELLED;
  outcome.state = cancelled   ? pb::DEPLOYMENT_STATE_CANCELLED
                  : went_back ? pb::DEPLOYMENT_STATE_ROLLED_BACK
                              : pb::DEPLOYMENT_STATE_FAILED;
  const char* truth = went_back        ? "The previous release serves again, proven"
                      : before.empty() ? "Nothing serves this application yet"
                                       : "What served before was not touched";
  outcome.message = absl::StrCat(Sentence(deployment.message), truth, before.empty() ? "" : ": ",
                                 before, cancelled ? "" : ". ", cancelled ? "" : why);
  return outcome;
}

Outcome FencedOutcome(const DeploymentRecord& deployment, size_t host) {
  Outcome outcome;
  outcome.reason = pb::FAILURE_REASON_STALE_EPOCH;
  // After a switch has begun it is the host's new owner, not we, who knows what serves.
  outcome.state =
      SwitchBegun(deployment) ? pb::DEPLOYMENT_STATE_NEEDS_ATTENTION : pb::DEPLOYMENT_STATE_FAILED;
  outcome.message = absl::StrCat(
      deployment.rollouts.at(host).host,
      " obeys a newer owner: somebody rolled back locally on the host, or another controller took "
      "over. This deployment touched nothing further. See `slipway status ",
      deployment.app, "`");
  return outcome;
}

pb::DeploymentState HostOutcome(const RolloutRecord& rollout, const Outcome& outcome) {
  if (IsStuck(rollout)) return pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  if (WentBack(rollout)) {
    return outcome.state == pb::DEPLOYMENT_STATE_CANCELLED ? pb::DEPLOYMENT_STATE_CANCELLED
                                                           : pb::DEPLOYMENT_STATE_ROLLED_BACK;
  }
  if (Serves(rollout)) {
    return outcome.state == pb::DEPLOYMENT_STATE_SUCCEEDED ? pb::DEPLOYMENT_STATE_SUCCEEDED
                                                           : pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  }
  return outcome.state == pb::DEPLOYMENT_STATE_CANCELLED ? pb::DEPLOYMENT_STATE_CANCELLED
                                                         : pb::DEPLOYMENT_STATE_FAILED;
}

}  // namespace slipway::controller
