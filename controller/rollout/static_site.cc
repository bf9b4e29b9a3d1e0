#include "controller/rollout/static_site.h"

#include "controller/rollout/commands.h"

namespace slipway::controller {

using std::chrono::minutes;

std::vector<StepDefinition> StaticSite() {
  using enum Phase;
  using enum OnFailure;
  return {
      // Put the new copy beside the one that serves, and read it back.
      {"preflight", kPrepare, kUndo, minutes(1), command::Preflight},
      {"stage", kPrepare, kUndo, minutes(10), command::Stage, when::NotWarm},
      {"start", kPrepare, kUndo, minutes(5), command::Start, when::NotWarm, UndoWhen::kBegun,
       command::RemoveCandidate},
      {"health", kPrepare, kUndo, minutes(5), command::Health, when::NotWarm},

      // One link changes, and nginx is asked whether it serves what the link names.
      {"switch", kCommit, kUndo, minutes(1), command::Switch, nullptr, UndoWhen::kDone,
       command::SwitchBack},

      // The old copy answers for a while what pages that are open in browsers still ask for.
      {"retire", kFinish, kWarn, minutes(2), command::Retire, when::SomethingServedBefore},
      {"prune", kFinish, kWarn, minutes(5), command::Prune, when::IsDeploy},
      {"confirm", kConfirm, kAttention, minutes(1), command::Confirm},
  };
}

}  // namespace slipway::controller
