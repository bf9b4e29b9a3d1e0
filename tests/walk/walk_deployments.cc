// Deployments of a walk: admitted, run by the decider, interrupted, judged.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/status.h"
#include "controller/rollout/state.h"
#include "tests/walk/walk.h"

namespace slipway::testing {

using controller::DeploymentRecord;
using controller::RolloutInput;

namespace {
constexpr int kTurns = 1500;
constexpr int kAttempts = 4;
}  // namespace

std::string Walk::MakeRelease(Application& app, const Program& program) {
  controller::ReleaseRecord release;
  release.app = app.name;
  // Unlike in its first six letters, of which deployments are named.
  release.id = absl::StrCat(100000 + ++last_release_, "aaaaaa");
  release.manifest_digest = ManifestDigestOfWalks();
  release.spec_revision =
      store().ApplyApplication(app.spec, {}, "ann").value().application.spec_revision;
  release.create_time = clock_.WallNow();
  store().CreateRelease(release, {}, "ann").value();
  for (const auto& host : hosts_) host->docker().programs[release.id] = program;
  Note(absl::StrCat("deploy ", app.name, " ", release.id, program.healthy ? "" : " unhealthy",
                    program.starts ? "" : " does not start",
                    program.dies_when_it_serves ? " dies when it serves" : "",
                    program.hook_exit_code != 0 ? " hook fails" : ""));
  return release.id;
}

std::string Walk::Deploy(Application& app, const Program& program, const WalkFaults& faults) {
  const std::string release = MakeRelease(app, program);
  Admit(app, pb::DEPLOYMENT_KIND_DEPLOY, release, {}, faults.hold_before_flip);
  RunAll(faults);
  return release;
}

void Walk::DeployAll(const WalkFaults& faults) {
  for (Application& app : applications_) {
    Admit(app, pb::DEPLOYMENT_KIND_DEPLOY, MakeRelease(app, SomeProgram()));
  }
  RunAll(faults);
}

void Walk::DeployTwice(Application& app, const WalkFaults& faults) {
  for (int i = 0; i < 2 + Pick(2); ++i) {
    Admit(app, pb::DEPLOYMENT_KIND_DEPLOY, MakeRelease(app, SomeProgram()));
  }
  RunAll(faults);
}

void Walk::RollBack(Application& app, const WalkFaults& faults) {
  Note(absl::StrCat("roll back ", app.name));
  Admit(app, pb::DEPLOYMENT_KIND_ROLLBACK, "");
  RunAll(faults);
}

void Walk::Admit(Application& app, pb::DeploymentKind kind, const std::string& release,
                 std::vector<std::string> hosts, bool hold_before_flip) {
  for (const auto& host : hosts_) controller_->Hear(*host);
  controller::Wish wish;
  wish.app = app.name;
  wish.kind = kind;
  wish.release = release;
  wish.hosts = std::move(hosts);
  wish.force = kind == pb::DEPLOYMENT_KIND_RECONCILE;
  wish.hold_before_flip = hold_before_flip;
  wish.actor = "ann";
  const auto admitted = controller_->admission().Admit(wish, {});
  if (!admitted.ok()) {
    Note(absl::StrCat("  not admitted: ", admitted.status().message()));
    const std::string reason = DetailOf(admitted.status()).reason();
    if (reason != "NO_PREVIOUS_RELEASE" && reason != "NO_HOSTS" && reason != "BUSY" &&
        !(reason.empty() && absl::IsNotFound(admitted.status()))) {
      Violate(absl::StrCat("not admitted: ", admitted.status().ToString()));
    }
    return;
  }
  if (admitted->deployment) admitted_.emplace_back(app.name, admitted->deployment->id);
}

void Walk::RunAll(const WalkFaults& faults) {
  faults_ = faults;
  effects_ = 0;
  sent_ = writes_ = 0;
  for (const auto& host : hosts_) host->nginx().RefuseReloads(faults.nginx_refuses);
  Runs runs = controller_->TakeUpAll();
  for (int turn = 0; !runs.empty(); ++turn) {
    if (turn == kTurns) {
      Violate(absl::StrCat("deployment ", runs[0]->id, " does not end"));
      break;
    }
    const auto at = static_cast<size_t>(Pick(static_cast<int>(runs.size())));
    const Turn came = TakeTurn(*runs[at]);
    if (came == Turn::kGoesOn) continue;
    // The store is read and opened by this walk, which has no time to try again until it can be.
    FillDisk(false);
    if (came == Turn::kControllerDied) {
      Note("  the controller dies");
      controller_->Restart();
    }
    JudgeEnded();
    // As the engine does at the end of each, and the next controller at its start.
    absl::Status begun = controller_->admission().StartAllQueued();
    if (!begun.ok() && faults_.disk_full_at != 0) {
      // It filled up while the hosts were asked; the engine tries again.
      FillDisk(false);
      begun = controller_->admission().StartAllQueued();
    }
    if (!begun.ok()) Violate(absl::StrCat("what waits does not start: ", begun.ToString()));
    if (came == Turn::kControllerDied) {
      runs = controller_->TakeUpAll();
      continue;
    }
    runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(at));
    const auto running = store().ListRunning().value();
    for (const auto& [app, id] : running) {
      const bool known = std::any_of(runs.begin(), runs.end(),
                                     [&, id = id](const auto& run) { return run->id == id; });
      if (!known) runs.push_back(controller_->TakeUp(app, id));
    }
  }
  faults_ = {};
  FillDisk(false);
  for (const auto& host : hosts_) host->docker().ComeBack();
}

bool Walk::ControllerDies() {
  if (++writes_ == faults_.controller_dies_at) return true;
  return faults_.controller_dies > 0 && Chance(faults_.controller_dies);
}

bool Walk::Record(controller::Transition transition) {
  transition.id = absl::StrCat("transition-", ++last_transition_);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto stored = store().RecordTransition(transition);
    if (stored.ok()) return true;
    Note(absl::StrCat("  not stored: ", stored.status().message()));
    if (faults_.disk_full_at == 0) {
      Violate(absl::StrCat("a transition cannot be stored: ", stored.status().ToString()));
      return false;
    }
    // The engine waits until there is room.
    if (attempt == 1) FillDisk(false);
  }
  Violate("a transition cannot be stored on a disk that has room again");
  return false;
}

Walk::Turn Walk::TakeTurn(ActiveRun& run) {
  const int turn = run.turns++;
  if (turn == faults_.cancel_at && turn != 0) {
    const auto cancelled =
        controller_->admission().Cancel(run.app, run.id, {}, controller::Actor("ann"));
    run.moment.cancel_requested = run.moment.cancel_requested || cancelled.ok();
  }
  run.moment.time = clock_.WallNow();
  controller::Decision decision = run.decider->Take(run.inputs, run.moment);
  run.moment.resume_requested = false;
  run.inputs.clear();
  if (decision.changed) {
    if (ControllerDies()) return Turn::kControllerDied;
    if (!Record(std::move(decision.transition))) return Turn::kEnded;
    if (ControllerDies()) return Turn::kControllerDied;
  }
  if (decision.ended) return Turn::kEnded;
  for (controller::Dispatch& dispatch : decision.dispatches) {
    run.pending.push_back(std::move(dispatch));
  }
  if (turn == faults_.host_rollback_at && turn != 0) {
    const size_t host = AnyHost();
    if (RollBackOnHost(ByName(run.app), host)) rolled_back_.emplace(hosts_[host]->name(), run.app);
    // Not again, and still nothing of ours alone.
    faults_.host_rollback_at = -1;
  }
  if (run.pending.empty()) {
    AskPeople(run);
  } else {
    Send(run);
  }
  return Turn::kGoesOn;
}

// A deployment that waits for a person.
void Walk::AskPeople(ActiveRun& run) {
  if (run.decider->State().state != pb::DEPLOYMENT_STATE_PAUSED) return;
  if (Chance(70)) {
    const auto resumed =
        controller_->admission().Resume(run.app, run.id, {}, controller::Actor("ann"));
    if (!resumed.ok()) Violate(absl::StrCat("not resumed: ", resumed.status().ToString()));
    run.moment.resume_requested = resumed.ok();
  } else {
    const auto aborted =
        controller_->admission().Cancel(run.app, run.id, {}, controller::Actor("ann"));
    run.moment.cancel_requested = aborted.ok();
  }
}

// Some of what is sent is answered, in any order.
void Walk::Send(ActiveRun& run) {
  const int count = 1 + Pick(static_cast<int>(run.pending.size()));
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(Pick(static_cast<int>(run.pending.size())));
    const controller::Dispatch dispatch = std::move(run.pending[at]);
    run.pending.erase(run.pending.begin() + static_cast<std::ptrdiff_t>(at));
    run.inputs.push_back(Execute(run.decider->State().rollouts.at(dispatch.host).host, dispatch));
  }
}

// As Engine::Run::Act() does.
RolloutInput Walk::Execute(const std::string& name, const controller::Dispatch& dispatch) {
  WalkedHost& host = HostNamed(name);
  RolloutInput input;
  input.host = dispatch.host;
  input.position = dispatch.position;
  const std::string word = executor::StepWord(dispatch.request);
  const bool lost = ++sent_ == faults_.answer_lost_at;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto result = host.Execute(dispatch.request);
    if (host.down()) {
      Note(absl::StrCat("  ", host.name(), " restarts in ", word));
      faults_.crash_at = faults_.suspend_at = 0;
      Crash(host);
      continue;
    }
    if (lost) break;
    if (result.ok()) {
      input.result = *result;
      if (result->reason() == pb::FAILURE_REASON_STALE_EPOCH) {
        input.kind = RolloutInput::Kind::kFenced;
      }
      if (!result->succeeded()) {
        Note(absl::StrCat("  ", host.name(), " ", word, ": ", result->summary()));
      }
      return input;
    }
    Note(absl::StrCat("  ", host.name(), " ", word, ": ", result.status().message()));
    if (DetailOf(result.status()).reason() == "STALE_EPOCH") {
      input.kind = RolloutInput::Kind::kFenced;
      input.result.set_reason(pb::FAILURE_REASON_STALE_EPOCH);
      return input;
    }
    if (faults_.disk_full_at == 0) {
      Violate(absl::StrCat("the executor answers ", result.status().ToString()));
    }
    if (!absl::IsUnavailable(result.status())) {
      input.result.set_reason(pb::FAILURE_REASON_NO_SPACE);
      input.result.set_summary(std::string(result.status().message()));
      return input;
    }
  }
  Note(absl::StrCat("  what came of ", word, " on ", host.name(), " is never known"));
  input.kind = RolloutInput::Kind::kStepLost;
  input.result.set_reason(pb::FAILURE_REASON_HOST_UNREACHABLE);
  return input;
}

void Walk::JudgeEnded() {
  for (auto one = admitted_.begin(); one != admitted_.end();) {
    const DeploymentRecord state = store().GetDeployment(one->first, one->second).value();
    if (!controller::IsTerminal(state.state)) {
      ++one;
      continue;
    }
    Judge(ByName(one->first), state);
    one = admitted_.erase(one);
  }
}

void Walk::Judge(Application& app, const DeploymentRecord& state) {
  Note(absl::StrCat("  ", state.id, " ", pb::DeploymentState_Name(state.state), ": ",
                    state.message));
  last_ = state;
  const bool serves =
      state.state == pb::DEPLOYMENT_STATE_SUCCEEDED || state.state == pb::DEPLOYMENT_STATE_PARTIAL;
  for (const controller::RolloutRecord& rollout : state.rollouts) {
    const std::pair<std::string, std::string> where(rollout.host, app.name);
    if (faults_.disk_full_at != 0) {
      unwritten_.insert(where);
    } else {
      unwritten_.erase(where);
    }
    if (rolled_back_.erase(where) > 0) {
      const SimulatedContainer* now = HostNamed(rollout.host).Serving(app.name);
      if (now != nullptr) app.serving[rollout.host] = now->release;
      continue;
    }
    const bool nothing_before = !app.PromisedOn(rollout.host);
    if (serves && !controller::StaysBehind(rollout)) {
      app.serving[rollout.host] = state.release;
      app.attention.erase(rollout.host);
    } else if (state.state == pb::DEPLOYMENT_STATE_NEEDS_ATTENTION ||
               (serves && (controller::IsStuck(rollout) || controller::IsFenced(rollout)))) {
      if (faults_.OursAlone() && !nothing_before && controller::IsStuck(rollout)) {
        Violate("a restart of our own programs must not need a person");
      }
      app.attention.insert(rollout.host);
    }
    // It died between the last look and the switch back to it.
    if (faults_.candidate_dies_at != 0 && HostNamed(rollout.host).Serving(app.name) == nullptr)
      app.attention.insert(rollout.host);
  }
}

}  // namespace slipway::testing
