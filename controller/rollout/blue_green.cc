#include "controller/rollout/blue_green.h"

#include <set>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// The executor's own limit must strike first, for it can say why.
constexpr seconds kMargin{30};

// Conditions.
bool NotWarm(const Situation& at) { return !IsWarmRollback(at.deployment, at.rollout); }
bool SomethingServedBefore(const Situation& at) {
  return PreviousSlot(at.rollout) != pb::SLOT_UNSPECIFIED;
}
// A warm rollback is done when it is proven: the slot that it leaves stays up, and lets what uses it
// finish before it is stopped.
bool NeedsDrain(const Situation& at) { return SomethingServedBefore(at) && NotWarm(at); }
// Going back must not run the old release's migrations.
bool IsDeploy(const Situation& at) { return at.deployment.kind != pb::DEPLOYMENT_KIND_ROLLBACK; }
bool HasWorkers(const Situation& at) { return at.context.spec.compose().workers_size() > 0; }

// Commands.
void Preflight(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_preflight()->set_release(at.deployment.release);
  *request.mutable_preflight()->mutable_spec() = at.context.spec;
}
// The engine adds the env file's bytes just before it sends this; they are in no state and no journal.
void Stage(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_stage()->set_release(at.deployment.release);
  *request.mutable_stage()->mutable_spec() = at.context.spec;
  request.mutable_stage()->set_manifest_digest(at.context.manifest_digest);
  request.mutable_stage()->set_commit(at.deployment.commit);
}
void Build(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_build()->set_release(at.deployment.release);
}
void Shared(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_shared()->set_release(at.deployment.release);
  request.mutable_shared()->mutable_update()->Add(at.deployment.update_services.begin(),
                                                  at.deployment.update_services.end());
}
void Start(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_start()->set_release(at.deployment.release);
  request.mutable_start()->set_slot(at.rollout.slot);
}
void RemoveCandidate(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_remove()->set_release(at.deployment.release);
  request.mutable_remove()->set_slot(at.rollout.slot);
}
void Health(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_health()->set_release(at.deployment.release);
  request.mutable_health()->set_slot(at.rollout.slot);
}
void Switch(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_switch_()->set_release(at.deployment.release);
  request.mutable_switch_()->set_to(at.rollout.slot);
}
void SwitchBack(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_switch_()->set_release(PreflightOf(at.rollout).active_release());
  request.mutable_switch_()->set_to(PreviousSlot(at.rollout));
}
void Bake(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_bake()->set_release(at.deployment.release);
  request.mutable_bake()->set_slot(at.rollout.slot);
}
void Drain(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_drain()->set_release(at.deployment.release);
  request.mutable_drain()->set_slot(PreviousSlot(at.rollout));
}
void Retire(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_retire()->set_release(at.deployment.release);
  request.mutable_retire()->set_slot(PreviousSlot(at.rollout));
}
void Workers(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_workers()->set_release(at.deployment.release);
}
void Prune(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_prune()->set_release(at.deployment.release);
  // Made of stored state alone, so that a repeated command says the same.
  std::vector<std::string> newest = {at.deployment.release, at.deployment.previous_release};
  newest.insert(newest.end(), at.context.served_releases.begin(), at.context.served_releases.end());
  std::set<std::string> kept = {""};
  for (const std::string& release : newest) {
    if (kept.size() > at.context.spec.keep().releases()) break;
    if (kept.insert(release).second) request.mutable_prune()->add_keep_releases(release);
  }
}
void Confirm(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_confirm()->set_release(at.deployment.release);
  request.mutable_confirm()->set_slot(at.rollout.slot);
}
CommandBuilder RunHook(const std::string& name) {
  return [name](const Situation& at, xpb::ExecuteRequest& request) {
    request.mutable_hook()->set_release(at.deployment.release);
    request.mutable_hook()->set_hook(name);
    request.mutable_hook()->set_slot(at.rollout.slot);
  };
}

}  // namespace

std::vector<StepDefinition> BlueGreen(const pb::ApplicationSpec& spec) {
  using enum Phase;
  using enum OnFailure;
  const nanoseconds health = FromProto(spec.health().timeout()) + kMargin;
  const nanoseconds bake = FromProto(spec.rollout().bake()) + kMargin;
  const nanoseconds drain = FromProto(spec.rollout().drain()) + kMargin;

  // Get the new release up beside the one that serves. Nothing a visitor could notice.
  std::vector<StepDefinition> steps = {
      {"preflight", kPrepare, kUndo, minutes(1), Preflight},
      {"stage", kPrepare, kUndo, minutes(10), Stage, NotWarm},
      {"build", kPrepare, kUndo, minutes(30), Build, NotWarm},
      {"shared", kPrepare, kUndo, minutes(10), Shared, NotWarm},
      {"start", kPrepare, kUndo, minutes(5), Start, NotWarm, UndoWhen::kBegun, RemoveCandidate},
      {"health", kPrepare, kUndo, health, Health, NotWarm},
  };
  for (const pb::Hook& hook : spec.hooks().before_switch()) {
    steps.push_back({absl::StrCat("hook:", hook.name()), kPrepare, kUndo,
                     FromProto(hook.timeout()) + kMargin, RunHook(hook.name()), IsDeploy});
  }

  // Let it serve, proven, and watch it while the old one still stands by.
  steps.push_back(
      {"switch", kCommit, kUndo, minutes(1), Switch, nullptr, UndoWhen::kDone, SwitchBack});
  steps.push_back({"bake", kCommit, kUndo, bake, Bake, NotWarm});

  // The new release serves: nothing below is reason enough to take it away again.
  steps.push_back({"drain", kFinish, kWarn, drain, Drain, NeedsDrain});
  steps.push_back({"retire", kFinish, kWarn, minutes(2), Retire, SomethingServedBefore});
  steps.push_back({"workers", kFinish, kAttention, minutes(5), Workers, HasWorkers});
  for (const pb::Hook& hook : spec.hooks().after_switch()) {
    steps.push_back({absl::StrCat("hook:", hook.name()), kFinish, kAttention,
                     FromProto(hook.timeout()) + kMargin, RunHook(hook.name()), IsDeploy});
  }
  steps.push_back({"prune", kFinish, kWarn, minutes(5), Prune, IsDeploy});

  // Nobody is told that it serves before every host was seen to serve it, after all that.
  steps.push_back({"confirm", kConfirm, kAttention, minutes(1), Confirm});
  return steps;
}

std::vector<std::string> StepWords() {
  return {"preflight", "stage",   "build",      "shared",     "start",  "health",
          "hook",      "switch",  "bake",       "drain",      "retire", "workers",
          "prune",     "confirm", "undo_start", "undo_switch"};
}

}  // namespace slipway::controller
