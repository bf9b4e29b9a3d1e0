// What people and machines do in a walk.
#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"
#include "tests/walk/walk.h"

namespace slipway::testing {

namespace fs = std::filesystem;
using controller::DeploymentRecord;
using controller::RolloutInput;

std::string Walk::Deploy(Application& app, const Program& program, const WalkFaults& faults) {
  DeploymentRecord state;
  state.kind = pb::DEPLOYMENT_KIND_DEPLOY;
  state.release = absl::StrCat("r", 100000 + ++last_release_);
  docker_.programs[state.release] = program;
  app.specs[state.release] = app.spec;
  Note(absl::StrCat("deploy ", app.name, " ", state.release, program.healthy ? "" : " unhealthy",
                    program.starts ? "" : " does not start",
                    program.dies_when_it_serves ? " dies when it serves" : "",
                    program.hook_exit_code != 0 ? " hook fails" : ""));
  const std::string release = state.release;
  Run(app, std::move(state), faults);
  return release;
}

void Walk::RollBack(Application& app, const WalkFaults& faults) {
  // Of those that prune has kept.
  if (app.served.size() < 2) return;
  DeploymentRecord state;
  state.kind = pb::DEPLOYMENT_KIND_ROLLBACK;
  state.release = app.served[1];
  Note(absl::StrCat("roll back ", app.name, " to ", state.release));
  Run(app, std::move(state), faults);
}

void Walk::Run(Application& app, DeploymentRecord state, const WalkFaults& faults) {
  state.app = app.name;
  state.id = absl::StrCat("20260101-", ++last_deployment_);
  state.epoch = app.epoch = std::max(app.epoch, journal_->EpochOf(app.name)) + 1;
  state.plan_version = controller::kPlanVersion;
  state.rollouts.emplace_back().host = "local";
  controller::RolloutContext context;
  context.spec = app.specs[state.release];
  context.manifest_digest = manifest_digest_;
  context.served_releases = app.served;
  faults_ = faults;
  nginx_.RefuseReloads(faults.nginx_refuses);
  auto decider = std::make_unique<controller::Decider>(context, state);
  controller::Moment moment;
  std::vector<RolloutInput> inputs;
  for (int turn = 0; turn < 500; ++turn) {
    if (turn == faults.cancel_at && turn != 0) moment.cancel_requested = true;
    controller::Decision decision = decider->Take(inputs, moment);
    state = decider->State();
    if (decision.ended) {
      last_ = state;
      faults_ = {};
      Judge(app, state, faults);
      return;
    }
    if (faults.controller_restarts && Chance(20)) {
      decider = std::make_unique<controller::Decider>(context, state);
      decision = decider->Take({}, moment);
    }
    if (turn == faults.host_rollback_at && turn != 0) {
      RollBackOnHost(app);
      faults_ = {};
    }
    inputs.clear();
    for (const controller::Dispatch& dispatch : decision.dispatches) {
      inputs.push_back(Execute(dispatch));
    }
    if (inputs.empty()) break;
  }
  Violate(absl::StrCat("deployment ", state.id, " does not end"));
}

RolloutInput Walk::Execute(const controller::Dispatch& dispatch) {
  RolloutInput input;
  input.host = dispatch.host;
  input.position = dispatch.position;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const auto result =
        operations_->Execute(dispatch.request, [](absl::string_view) { return true; });
    if (dead_ || suspended_) {
      Note(absl::StrCat("  restart in ", executor::StepWord(dispatch.request)));
      faults_.crash_at = faults_.suspend_at = 0;
      Crash();
      continue;
    }
    if (result.ok()) {
      input.result = *result;
      if (!result->succeeded()) {
        Note(absl::StrCat("  ", executor::StepWord(dispatch.request), ": ", result->summary()));
      }
      return input;
    }
    if (DetailOf(result.status()).reason() == "STALE_EPOCH") {
      input.kind = RolloutInput::Kind::kFenced;
      input.result.set_reason(pb::FAILURE_REASON_STALE_EPOCH);
      return input;
    }
    Violate(absl::StrCat("the executor answers ", result.status().ToString()));
    break;
  }
  input.kind = RolloutInput::Kind::kStepLost;
  return input;
}

void Walk::Judge(Application& app, const DeploymentRecord& state, const WalkFaults& faults) {
  Note(absl::StrCat("  ", pb::DeploymentState_Name(state.state), ": ", state.message));
  switch (state.state) {
    case pb::DEPLOYMENT_STATE_SUCCEEDED:
      app.serving = state.release;
      app.attention = false;
      std::erase(app.served, state.release);
      app.served.insert(app.served.begin(), state.release);
      app.served.resize(std::min<size_t>(app.served.size(), 3));
      break;
    case pb::DEPLOYMENT_STATE_NEEDS_ATTENTION: {
      const bool nothing_before = app.serving.empty() || app.attention;
      if (faults.OursAlone() && !nothing_before) {
        Violate("a restart of our own programs must not need a person");
      }
      app.attention = true;
      break;
    }
    default:
      break;
  }
}

bool Walk::RollBackOnHost(Application& app) {
  Note(absl::StrCat("roll back on the host: ", app.name));
  std::string release;
  const auto result = operations_->RunLocally(app.name, [&](const executor::StepCall& call) {
    return steps_->RollBack(app.name, call, &release);
  });
  if (dead_) {
    faults_ = {};
    Crash();
    // It was finished or taken back; either is right.
    const SimulatedContainer* now = docker_.OnPort(nginx_.PortFor(app.name));
    if (now != nullptr && !app.attention) app.serving = now->release;
    return false;
  }
  if (!result.ok()) return false;
  Note(absl::StrCat("  ", result->summary()));
  if (!result->succeeded()) return false;
  app.serving = release;
  std::erase(app.served, release);
  app.served.insert(app.served.begin(), release);
  app.attention = false;
  return true;
}

void Walk::CrashInRollbackOnHost(Application& app, int effect) {
  effects_ = 0;
  faults_ = {};
  faults_.crash_at = effect;
  RollBackOnHost(app);
  faults_ = {};
}

void Walk::Reconfigure(Application& app) {
  switch (Pick(4)) {
    case 0: {
      const uint32_t base =
          20000 + (app.name == "shop1" ? 100u : 0u) + static_cast<uint32_t>(Pick(10)) * 2;
      app.spec.mutable_slots()->set_blue(base);
      app.spec.mutable_slots()->set_green(base + 1);
      Note(absl::StrCat("slots of ", app.name, " from ", base));
      break;
    }
    case 1: {
      const bool marker = app.spec.nginx().mode() == pb::SWITCH_MODE_MARKER;
      app.spec.mutable_nginx()->set_mode(marker ? pb::SWITCH_MODE_RELOAD : pb::SWITCH_MODE_MARKER);
      Note(absl::StrCat("mode of ", app.name, marker ? " reload" : " marker"));
      break;
    }
    case 2: {
      const int warm = Chance(50) ? 0 : 600;
      app.spec.mutable_keep()->mutable_warm()->set_seconds(warm);
      Note(absl::StrCat("keep.warm of ", app.name, " ", warm, "s"));
      break;
    }
    default:
      app.spec.mutable_hooks()->clear_before_switch();
      if (Chance(50)) {
        pb::Hook& hook = *app.spec.mutable_hooks()->add_before_switch();
        hook.set_name("migrate");
        hook.set_service("web");
        hook.add_command("migrate");
        hook.set_once(Chance(50));
        hook.mutable_timeout()->set_seconds(60);
      }
      Note(absl::StrCat("hooks of ", app.name, " ", app.spec.hooks().before_switch_size()));
      break;
  }
}

void Walk::EditFile(Application& app) {
  const fs::path path = nginx_.FileOf(app.name);
  const auto text = ReadFile(path);
  if (!text.ok()) return;
  Note(absl::StrCat("edit the upstream file of ", app.name));
  std::ofstream(path, std::ios::trunc) << *text << "# by hand\n";
}

void Walk::KillContainer(Application& app) {
  const uint32_t port = nginx_.PortFor(app.name);
  if (port == 0) return;
  Note(absl::StrCat("kill what serves ", app.name));
  docker_.Kill(port);
  app.attention = true;
}

void Walk::RestartNginx() {
  Note("restart nginx");
  nginx_.Stop();
  nginx_.Start();
  if (nginx_.running()) return;
  MendFiles();
  nginx_.Start();
  if (!nginx_.running()) Violate("nginx does not start");
}

// A file that was edited by hand so that nginx refuses it is in the way of every site: a person has
// to mend it.
void Walk::MendFiles() {
  for (const Application& app : applications_) {
    const fs::path path = nginx_.FileOf(app.name);
    std::string text = ReadFile(path).value_or("");
    if (absl::StrContains(text, "# by hand\n")) {
      text.resize(text.find("# by hand\n"));
      std::ofstream(path, std::ios::trunc) << text;
    }
  }
}

absl::StatusOr<xpb::StepResult> Walk::Preflight(const Application& app) {
  xpb::ExecuteRequest request;
  request.mutable_operation()->set_app(app.name);
  request.mutable_operation()->set_id(absl::StrCat("first/local/preflight/1.1/", app.name));
  request.mutable_operation()->set_epoch(1);
  request.mutable_operation()->mutable_timeout()->set_seconds(60);
  *request.mutable_preflight()->mutable_spec() = app.spec;
  return operations_->Execute(request, [](absl::string_view) { return true; });
}

void Walk::RunOlderVersion(Application& app) {
  const uint32_t port = app.spec.slots().blue();
  docker_.Run({"", app.name, "adopted", pb::SLOT_UNSPECIFIED, "older", port, true, 1, ""});
  std::ofstream(nginx_.FileOf(app.name)) << absl::StrCat(
      "upstream ", app.spec.nginx().upstream(), " { server ", address_, ":", port, "; }\n");
  nginx_.ReloadByOthers();
}

void Walk::RestartExecutor() {
  Note("restart the executor");
  Crash();
}

void Walk::LetTimePass(std::chrono::minutes time) {
  Note(absl::StrCat(time.count(), " minutes pass"));
  clock_.SleepFor(time);
  EndWarmth();
}

// As WarmKeeper does.
void Walk::EndWarmth() {
  const int64_t now = std::chrono::system_clock::to_time_t(clock_.WallNow());
  for (const Application& app : applications_) {
    const xpb::ApplicationFacts facts = journal_->FactsOf(app.name);
    for (const xpb::SlotFacts& slot : facts.slots()) {
      if (slot.warm_until() == 0 || slot.warm_until() > now) continue;
      operations_->WhileIdle(app.name, [&] {
        const auto stopped = steps_->EndWarmth(app.name, slot.slot());
        if (!stopped.ok()) Note(absl::StrCat("  not stopped: ", stopped.status().message()));
      });
    }
  }
}

}  // namespace slipway::testing
