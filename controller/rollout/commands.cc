#include "controller/rollout/commands.h"

#include <set>

#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace when {

bool NotWarm(const Situation& at) { return !IsWarmRollback(at.deployment, at.rollout); }
bool SomethingServedBefore(const Situation& at) {
  return PreviousSlot(at.rollout) != pb::SLOT_UNSPECIFIED;
}
bool NeedsDrain(const Situation& at) { return SomethingServedBefore(at) && NotWarm(at); }
bool IsNewEverywhere(const Situation& at) {
  return at.deployment.kind == pb::DEPLOYMENT_KIND_DEPLOY;
}
bool IsDeploy(const Situation& at) { return at.deployment.kind != pb::DEPLOYMENT_KIND_ROLLBACK; }
// The version that was taken over has no definition of them here: those that run stay.
bool HasWorkers(const Situation& at) {
  return at.context.spec.compose().workers_size() > 0 && at.deployment.release != kAdoptedRelease;
}

}  // namespace when

namespace command {

void Preflight(const Situation& at, xpb::ExecuteRequest& request) {
  request.mutable_preflight()->set_release(at.deployment.release);
  *request.mutable_preflight()->mutable_spec() = at.context.spec;
}
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
  // Neither is anything on a host.
  std::set<std::string> kept = {"", kAdoptedRelease};
  const size_t most = kept.size() + at.context.spec.keep().releases();
  for (const std::string& release : newest) {
    if (kept.size() >= most) break;
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

}  // namespace command
}  // namespace slipway::controller
