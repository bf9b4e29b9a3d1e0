// The decider: given what is stored and what has happened, what is to be stored and done next. A pure function: no I/O, no
// clock, no randomness, so a simulated world can run it a million times.
//
// Order: every host prepares (in the order of the deployment's hosts), then each is switched and watched, then each is
// finished; one step is under way at a time. A failure before the finish undoes every host: first all switches back, in
// reverse order, then the candidates are removed.
//
// How a deployment ends:
//   SUCCEEDED        every host proved the new release; drain, retire and prune may have left warnings in the message
//   FAILED           before any switch, or the switch failed and the host itself restored the old state
//   ROLLED_BACK      after a switch; every switched host proved the previous release again
//   CANCELLED        the same, because a person asked
//   NEEDS_ATTENTION  an undo failed, a switch's outcome is unknown, there was nothing to go back to, or the new release
//                    serves but its workers or after_switch hooks do not work
// A host that refuses our epoch (STALE_EPOCH) has a new owner: the deployment ends at once and touches nothing more.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "controller/rollout/step.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct RolloutInput {
  enum class Kind {
    // The controller (re)starts with this deployment.
    kResume,
    // The executor answered.
    kStepEnded,
    // The executor could not be reached until the step's deadline: what came of it is not known.
    kStepLost,
    // The executor obeys a higher epoch.
    kFenced,
  };
  Kind kind = Kind::kResume;
  // The step that was dispatched.
  size_t host = 0;
  size_t position = 0;
  xpb::StepResult result;
  // Somebody has asked for a cancel.
  bool cancel_requested = false;
  Time time;
};

struct Dispatch {
  size_t host = 0;
  size_t position = 0;
  // Complete but for the env file's bytes of a stage command.
  xpb::ExecuteRequest request;
  std::chrono::nanoseconds timeout{};
  // A cancel may end it before its time.
  bool stoppable = false;
};

struct Decision {
  // To be stored before anything is dispatched; its `deployment` is the new state.
  Transition transition;
  // False for a step that is just sent again.
  bool changed = false;
  // Nothing when the deployment has ended.
  std::optional<Dispatch> dispatch;
};

Decision Decide(const RolloutContext& context, const DeploymentRecord& state,
                const RolloutInput& input);

pb::Step StepMessage(const StepRecord& step);

}  // namespace slipway::controller
