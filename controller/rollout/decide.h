// The decider: given what is stored and what has happened, what is to be stored and done next. No I/O, no clock, no randomness,
// so a simulated world can run it a million times.
//
// Order: every host prepares, some at a time; the canary hosts are switched and watched, together; then the others are, in
// batches; then each is finished, and at last all are looked at once more. A step on a host follows the step before it there; no
// host enters a phase before all have left the one before, and hooks are phases of their own.
//
// A host that fails before the finish is taken back alone and stays behind, as long as no more have failed than the application's
// `max_failures`. When more have, every host is undone: all that were switched are switched back, together, then the candidates
// are removed. Or, by its `on_failure`, nothing more is begun and a person is asked.
//
// How a deployment ends:
//   SUCCEEDED        every host proved the new release; drain, retire and prune may have left warnings in the message
//   PARTIAL          every host but those that stay behind did
//   FAILED           before any switch, or the switch failed and the host itself restored the old state
//   ROLLED_BACK      after a switch; every switched host proved the previous release again
//   CANCELLED        the same, because a person asked
//   NEEDS_ATTENTION  an undo failed, a switch's outcome is unknown, there was nothing to go back to, the new release serves but
//                    its workers or after_switch hooks do not work, or a host has a new owner since its switch
// A host that refuses our epoch (STALE_EPOCH) has a new owner: it has failed, and is not touched any more.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "controller/rollout/step.h"
#include "controller/store/store.h"

namespace slipway::controller {

// What came of a dispatched step.
struct RolloutInput {
  enum class Kind {
    // The executor answered.
    kStepEnded,
    // The executor could not be reached until the step's deadline: what came of it is not known.
    kStepLost,
    // The executor obeys a higher epoch.
    kFenced,
  };
  Kind kind = Kind::kStepEnded;
  size_t host = 0;
  size_t position = 0;
  xpb::StepResult result;
};

// What people have asked for so far, and when this is.
struct Moment {
  bool cancel_requested = false;
  bool resume_requested = false;
  Time time;
};

struct Dispatch {
  size_t host = 0;
  size_t position = 0;
  // Complete but for the env file's bytes of a stage command.
  xpb::ExecuteRequest request;
  std::chrono::nanoseconds timeout{};
};

struct Decision {
  // To be stored before anything is dispatched.
  Transition transition;
  // False for steps that are just sent again.
  bool changed = false;
  std::vector<Dispatch> dispatches;
  // Hosts whose step under way is not wanted any more: the host may end it before its time, and answers then.
  std::vector<size_t> stops;
  bool ended = false;
};

class Decider {
 public:
  // With what is stored. The context stays the caller's.
  Decider(const RolloutContext& context, DeploymentRecord stored);
  ~Decider();
  Decider(const Decider&) = delete;
  Decider& operator=(const Decider&) = delete;

  // The first time without inputs: what had been dispatched without an answer is dispatched again, the same to the byte.
  Decision Take(const std::vector<RolloutInput>& inputs, const Moment& moment);
  // As it is after the last decision.
  const DeploymentRecord& State() const;

 private:
  class Mind;
  std::unique_ptr<Mind> mind_;
};

}  // namespace slipway::controller
