#include "controller/rollout/state.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/spec.h"

namespace slipway::controller {

const StepRecord* FindStep(const RolloutRecord& rollout, absl::string_view name) {
  for (const StepRecord& step : rollout.steps) {
    if (step.name == name) return &step;
  }
  return nullptr;
}

StepRecord* FindStep(RolloutRecord& rollout, absl::string_view name) {
  return const_cast<StepRecord*>(FindStep(std::as_const(rollout), name));
}

pb::PreflightEvidence PreflightOf(const RolloutRecord& rollout) {
  const StepRecord* step = FindStep(rollout, "preflight");
  return step == nullptr ? pb::PreflightEvidence() : step->evidence.preflight();
}

pb::Slot PreviousSlot(const RolloutRecord& rollout) {
  const pb::PreflightEvidence seen = PreflightOf(rollout);
  if (seen.active_slot() != pb::SLOT_UNSPECIFIED) return seen.active_slot();
  return seen.adopted_port() == 0 ? pb::SLOT_UNSPECIFIED : OtherSlot(rollout.slot);
}

bool Serves(const RolloutRecord& rollout) {
  const StepRecord* step = FindStep(rollout, "switch");
  return step != nullptr && step->state == pb::STEP_STATE_DONE;
}

bool IsWarmRollback(const DeploymentRecord& deployment, const RolloutRecord& rollout) {
  return deployment.kind == pb::DEPLOYMENT_KIND_ROLLBACK &&
         PreflightOf(rollout).candidate_is_warm();
}

bool IsStuck(const RolloutRecord& rollout) {
  const auto failed = [](const StepRecord* step) {
    return step != nullptr &&
           (step->state == pb::STEP_STATE_FAILED || step->state == pb::STEP_STATE_UNKNOWN);
  };
  const StepRecord* step = FindStep(rollout, "switch");
  if (failed(step) && !step->evidence.switch_().restored()) return true;
  return failed(FindStep(rollout, "undo:switch")) || failed(FindStep(rollout, "confirm"));
}

bool IsFenced(const RolloutRecord& rollout) {
  return std::any_of(rollout.steps.begin(), rollout.steps.end(), [](const StepRecord& step) {
    return step.reason == pb::FAILURE_REASON_STALE_EPOCH;
  });
}

bool StaysBehind(const RolloutRecord& rollout) { return IsFenced(rollout) || !Serves(rollout); }

bool SwitchBegun(const DeploymentRecord& deployment) {
  return std::any_of(
      deployment.rollouts.begin(), deployment.rollouts.end(),
      [](const RolloutRecord& rollout) { return FindStep(rollout, "switch") != nullptr; });
}

std::optional<Time> ProvenTime(const DeploymentRecord& deployment) {
  std::optional<Time> proven;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    // A switch that fails is taken back within the step itself.
    for (const char* name : {"switch", "undo:switch"}) {
      const StepRecord* step = FindStep(rollout, name);
      if (step == nullptr || !step->start_time) continue;
      const Time end = *step->start_time + std::chrono::floor<Time::duration>(step->duration);
      proven = std::max(proven.value_or(end), end);
    }
  }
  return proven;
}

std::optional<std::chrono::nanoseconds> TimeToRestore(const DeploymentRecord& deployment) {
  const std::optional<Time> proven = ProvenTime(deployment);
  if (!proven) return std::nullopt;
  if (deployment.state == pb::DEPLOYMENT_STATE_SUCCEEDED &&
      deployment.kind == pb::DEPLOYMENT_KIND_ROLLBACK) {
    return *proven - deployment.create_time;
  }
  if (deployment.state != pb::DEPLOYMENT_STATE_ROLLED_BACK) return std::nullopt;
  Time begun = *proven;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    const StepRecord* step = FindStep(rollout, "switch");
    if (step != nullptr && step->start_time) begun = std::min(begun, *step->start_time);
  }
  return *proven - begun;
}

std::string CancelTooLate(const DeploymentRecord& deployment) {
  if (IsTerminal(deployment.state)) return "the deployment has ended";
  for (const RolloutRecord& rollout : deployment.rollouts) {
    for (const char* late : {"drain", "retire", "workers", "prune", "confirm"}) {
      if (FindStep(rollout, late) != nullptr) {
        return "the new release serves and has proved itself; use a rollback instead";
      }
    }
    if (Serves(rollout) && PreviousSlot(rollout) == pb::SLOT_UNSPECIFIED) {
      return "the first release already serves, and there is none to go back to";
    }
  }
  return "";
}

pb::Step StepMessage(const StepRecord& step) {
  pb::Step message;
  message.set_name(step.name);
  message.set_state(step.state);
  message.set_attempt(step.attempt);
  message.set_reason(step.reason);
  message.set_summary(step.summary);
  if (step.start_time) *message.mutable_start_time() = ToProto(*step.start_time);
  *message.mutable_duration() = ToProto(step.duration);
  *message.mutable_evidence() = step.evidence;
  return message;
}

}  // namespace slipway::controller
