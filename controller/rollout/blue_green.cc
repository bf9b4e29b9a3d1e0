#include "controller/rollout/blue_green.h"

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "controller/rollout/commands.h"

namespace slipway::controller {
namespace {

using std::chrono::minutes;
using std::chrono::nanoseconds;

StepDefinition HookStep(const pb::Hook& hook, Phase phase, OnFailure on_failure) {
  StepDefinition step{absl::StrCat("hook:", hook.name()),
                      phase,
                      on_failure,
                      FromProto(hook.timeout()) + kMargin,
                      command::RunHook(hook.name()),
                      hook.once() ? when::IsNewEverywhere : when::IsDeploy};
  step.once = hook.once();
  return step;
}

}  // namespace

std::vector<StepDefinition> BlueGreen(const pb::ApplicationSpec& spec) {
  using enum Phase;
  using enum OnFailure;
  const nanoseconds health = FromProto(spec.health().timeout()) + kMargin;
  const nanoseconds bake = FromProto(spec.rollout().bake()) + kMargin;
  const nanoseconds drain = FromProto(spec.rollout().drain()) + kMargin;

  // Containers end in the time that their compose file gives them, which hosts cut off at ten minutes.
  const nanoseconds stopping = minutes(10);

  // Get the new release up beside the one that serves. Nothing a visitor could notice.
  std::vector<StepDefinition> steps = {
      {"preflight", kPrepare, kUndo, minutes(1), command::Preflight},
      {"stage", kPrepare, kUndo, minutes(10), command::Stage, when::NotWarm},
      {"build", kPrepare, kUndo, minutes(30), command::Build, when::NotWarm},
      {"shared", kPrepare, kUndo, minutes(10), command::Shared, when::NotWarm},
      {"start", kPrepare, kUndo, minutes(5) + stopping, command::Start, when::NotWarm,
       UndoWhen::kBegun, command::RemoveCandidate},
      {"health", kPrepare, kUndo, health, command::Health, when::NotWarm},
  };
  for (const pb::Hook& hook : spec.hooks().before_switch()) {
    steps.push_back(HookStep(hook, kPrepare, kUndo));
  }

  // Let it serve, proven, and watch it while the old one still stands by.
  steps.push_back({"switch", kCommit, kUndo, minutes(1), command::Switch, nullptr, UndoWhen::kDone,
                   command::SwitchBack});
  steps.push_back({"bake", kCommit, kUndo, bake, command::Bake, when::NotWarm});

  // The new release serves: nothing below is reason enough to take it away again.
  steps.push_back({"drain", kFinish, kWarn, drain, command::Drain, when::NeedsDrain});
  steps.push_back({"retire", kFinish, kWarn, minutes(2) + stopping, command::Retire,
                   when::SomethingServedBefore});
  steps.push_back(
      {"workers", kFinish, kAttention, minutes(5) + stopping, command::Workers, when::HasWorkers});
  for (const pb::Hook& hook : spec.hooks().after_switch()) {
    steps.push_back(HookStep(hook, kFinish, kAttention));
  }
  steps.push_back({"prune", kFinish, kWarn, minutes(5), command::Prune, when::IsDeploy});

  // Nobody is told that it serves before every host was seen to serve it, after all that.
  steps.push_back({"confirm", kConfirm, kAttention, minutes(1), command::Confirm});
  return steps;
}

}  // namespace slipway::controller
