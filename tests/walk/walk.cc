#include "tests/walk/walk.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/spec.h"
#include "common/status.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"
#include "executor/facts.h"
#include "tests/support/file_tree.h"

namespace slipway::testing {
namespace {

namespace fs = std::filesystem;
using controller::DeploymentRecord;
using controller::RolloutInput;

constexpr size_t kReportedSteps = 60;
constexpr char kComposeFile[] = "services: {web: {image: web}}\n";

void Put(BlobStore& blobs, const std::string& content) {
  auto writer = blobs.Create(Sha256Of(content));
  (*writer)->Append(content).IgnoreError();
  (*writer)->Commit().IgnoreError();
}

// A loopback address of its own for every walk, so that walks do not share ports.
std::string AddressFor(uint64_t seed) {
  return absl::StrCat("127.88.", seed / 250 % 250, ".", 1 + seed % 250);
}

}  // namespace

Walk::Walk(uint64_t seed)
    : random_(seed),
      address_(AddressFor(seed)),
      paths_(folder_.path() / "state"),
      nginx_(folder_.path() / "nginx", address_,
             [this](const auto& effect) { return Gate(effect); }),
      docker_(
          [this](const auto& effect) { return Gate(effect); },
          [this](const std::string& app, uint32_t port) { return nginx_.PortFor(app) == port; }) {
  for (int i = 0; i < 2; ++i) {
    Application app;
    app.name = absl::StrCat("shop", i);
    app.spec.set_app(app.name);
    app.spec.mutable_compose()->set_project(app.name);
    app.spec.mutable_compose()->add_slotted("web");
    app.spec.mutable_compose()->add_workers("worker");
    app.spec.mutable_slots()->set_blue(20000 + static_cast<uint32_t>(i) * 100);
    app.spec.mutable_slots()->set_green(20001 + static_cast<uint32_t>(i) * 100);
    app.spec.mutable_health()->mutable_docker();
    app.spec.mutable_health()->set_successes(1);
    app.spec.mutable_health()->mutable_timeout()->set_nanos(40'000'000);
    app.spec.mutable_nginx()->set_upstream(absl::StrCat(app.name, "_backend"));
    app.spec.mutable_nginx()->set_file(nginx_.FileOf(app.name).string());
    app.spec.mutable_rollout()->mutable_bake()->set_nanos(3'000'000);
    app.spec.mutable_rollout()->mutable_drain()->set_seconds(1);
    app.spec.mutable_keep()->set_releases(3);
    app.spec.mutable_keep()->mutable_warm()->set_seconds(600);
    ApplyDefaults(app.spec);
    applications_.push_back(std::move(app));
  }
  nginx_.Start();
  Boot();
}

Walk::~Walk() {
  dead_ = true;
  operations_.reset();
}

void Walk::Boot() {
  journal_ = *executor::Journal::Open(paths_.Journal());
  releases_ = *executor::ReleaseStore::Open(paths_);
  const pb::Manifest manifest = OneFileTree(kComposeFile);
  const std::string bytes = manifest.SerializeAsString();
  manifest_digest_ = Sha256Of(bytes);
  Put(releases_->Blobs(), kComposeFile);
  Put(releases_->Blobs(), bytes);
  site_ = std::make_unique<executor::StaticSite>(*releases_, clock_, paths_);
  driver_ =
      std::make_unique<executor::NginxDriver>(nginx_, clock_, nginx_.Options(), nginx_.Proc());
  health_ = std::make_unique<executor::HealthGate>(docker_, clock_);
  executor::HostSettings settings;
  settings.address = address_;
  settings.least_free_bytes = 0;
  steps_ = std::make_unique<executor::Steps>(executor::StepParts{*journal_, *releases_, docker_,
                                                                 *site_, *driver_, *health_, clock_,
                                                                 paths_, nginx_.Proc(), settings});
  operations_ = std::make_unique<executor::Operations>(
      *journal_, clock_,
      [this](const auto& request, const auto& call) { return steps_->Run(request, call); }, [] {});
  dead_ = suspended_ = false;
  steps_->Recover();
}

// Everything in memory is gone; on the disk is what was there at the moment of the crash.
void Walk::Crash() {
  operations_.reset();
  steps_.reset();
  journal_.reset();
  if (dead_) RestoreSnapshot();
  Boot();
}

void Walk::Snapshot() {
  snapshot_.clear();
  snapshot_[paths_.Journal().string()] = ReadFile(paths_.Journal()).value_or("");
  for (const Application& app : applications_) {
    const auto file = ReadFile(nginx_.FileOf(app.name));
    if (file.ok()) snapshot_[nginx_.FileOf(app.name).string()] = *file;
    const auto marker = ReadFile(paths_.Marker(app.name));
    if (marker.ok()) snapshot_[paths_.Marker(app.name).string()] = *marker;
  }
}

void Walk::RestoreSnapshot() {
  for (const Application& app : applications_) {
    fs::remove(nginx_.FileOf(app.name));
    fs::remove(paths_.Marker(app.name));
  }
  for (const auto& [path, text] : snapshot_) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
}

bool Walk::Gate(const std::string& effect) {
  if (dead_) return false;
  if (on_effect) on_effect(effect);
  CheckTraffic();
  const int now = ++effects_;
  if (now == faults_.docker_away_at) docker_.away = true;
  if (now == faults_.docker_back_at) docker_.away = false;
  if (now == faults_.nginx_restart_at) {
    nginx_.Stop();
    nginx_.Start();
  }
  if (now == faults_.candidate_dies_at) {
    for (SimulatedContainer& container : docker_.containers) {
      if (container.role != "slot") continue;
      if (nginx_.PortFor(container.app) != container.port) container.running = false;
    }
  }
  if (now == faults_.suspend_at) {
    suspended_ = true;
    operations_->Suspend();
  }
  if (now != faults_.crash_at) return true;
  Note(absl::StrCat("  crash ", faults_.crash_after ? "after " : "before ", effect));
  Snapshot();
  dead_ = true;
  return faults_.crash_after;
}

int Walk::Pick(int count) {
  return static_cast<int>(random_() % static_cast<uint64_t>(std::max(count, 1)));
}
bool Walk::Chance(int percent) { return Pick(100) < percent; }
Walk::Application& Walk::AnyApplication() {
  return applications_[static_cast<size_t>(Pick(static_cast<int>(applications_.size())))];
}

WalkFaults Walk::SomeFaults() {
  WalkFaults faults;
  const int at = 1 + Pick(45);
  switch (Pick(14)) {
    case 0:
    case 1:
    case 2:
      faults.crash_at = at;
      faults.crash_after = Chance(50);
      break;
    case 3:
      faults.suspend_at = at;
      break;
    case 4:
      faults.docker_away_at = at;
      faults.docker_back_at = at + 1 + Pick(4);
      break;
    case 5:
      faults.nginx_restart_at = at;
      break;
    case 6:
      faults.cancel_at = 1 + Pick(12);
      break;
    case 7:
      faults.nginx_refuses = true;
      break;
    case 8:
      faults.host_rollback_at = 1 + Pick(12);
      break;
    default:
      break;
  }
  faults.controller_restarts = Chance(20);
  return faults;
}

Program Walk::SomeProgram() {
  Program program;
  switch (Pick(10)) {
    case 0:
      program.healthy = false;
      break;
    case 1:
      program.dies_when_it_serves = true;
      break;
    case 2:
      program.starts = false;
      break;
    case 3:
      program.hook_exit_code = 1;
      break;
    default:
      break;
  }
  return program;
}

bool Walk::Step() {
  faults_ = {};
  effects_ = 0;
  Application& app = AnyApplication();
  switch (Pick(20)) {
    case 0:
    case 1:
      RollBack(app, SomeFaults());
      break;
    case 2:
    case 3:
      if (Chance(20)) faults_.crash_at = 1 + Pick(20);
      RollBackOnHost(app);
      break;
    case 4:
    case 5:
      Reconfigure(app);
      break;
    case 6:
      EditFile(app);
      break;
    case 7:
      KillContainer(app);
      break;
    case 8:
      RestartNginx();
      break;
    case 9:
    case 10:
      LetTimePass(std::chrono::minutes(1 + Pick(20)));
      break;
    case 11:
    case 12:
      RestartExecutor();
      break;
    case 13:
      nginx_.ReloadByOthers();
      break;
    case 14:
      // When faults stop, a good release can always be deployed.
      MendFiles();
      if (Deploy(app, Program(), WalkFaults()) != app.serving) {
        Violate("a good release could not be deployed on a sound host");
      }
      break;
    default:
      Deploy(app, SomeProgram(), SomeFaults());
      break;
  }
  faults_ = {};
  docker_.away = false;
  nginx_.RefuseReloads(false);
  if (!nginx_.running()) RestartNginx();
  clock_.SleepFor(std::chrono::seconds(2));
  CheckQuiet();
  return violations_.empty();
}

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

// At every moment: requests reach a container of the application that runs.
void Walk::CheckTraffic() {
  for (const Application& app : applications_) {
    if (app.serving.empty() || app.attention || !nginx_.running()) continue;
    const uint32_t port = nginx_.PortFor(app.name);
    const SimulatedContainer* container = docker_.OnPort(port);
    if (container == nullptr) {
      // A release that dies when it serves is what the bake is for.
      const bool dies =
          std::any_of(docker_.containers.begin(), docker_.containers.end(), [&](const auto& one) {
            return one.app == app.name && one.port == port && !one.running &&
                   docker_.programs[one.release].dies_when_it_serves;
          });
      if (!dies)
        Violate(absl::StrCat("requests for ", app.name, " reach port ", port,
                             ", where nobody listens"));
    } else if (container->app != app.name) {
      Violate(absl::StrCat("requests for ", app.name, " reach ", container->app));
    }
  }
}

void Walk::CheckQuiet() {
  CheckTraffic();
  for (const auto& intent : journal_->OpenIntents()) {
    Violate(absl::StrCat("the intent of ", intent.operation_id(), " is open"));
  }
  for (const Application& app : applications_) CheckApplication(app);
}

void Walk::CheckApplication(const Application& app) {
  if (app.attention || app.serving.empty()) return;
  const auto state = steps_->Inspect(app.name);
  if (!state.ok()) {
    Violate(absl::StrCat("no status of ", app.name, ": ", state.status().ToString()));
    return;
  }
  const uint32_t port = nginx_.PortFor(app.name);
  const SimulatedContainer* serving = docker_.OnPort(port);
  if (serving == nullptr) return;
  if (serving->release != app.serving) {
    Violate(
        absl::StrCat(app.name, " ought to serve ", app.serving, " and serves ", serving->release));
  }
  if (state->active_release() != serving->release || state->active_slot() != serving->slot) {
    Violate(absl::StrCat("status of ", app.name, " says ", SlotWord(state->active_slot()), " ",
                         state->active_release(), "; ", SlotWord(serving->slot), " ",
                         serving->release, " serves"));
  }
  const xpb::ApplicationFacts facts = journal_->FactsOf(app.name);
  int workers = 0;
  for (const SimulatedContainer& container : docker_.containers) {
    if (container.app != app.name) continue;
    if (container.role != "adopted" && !fs::exists(paths_.Release(app.name, container.release))) {
      Violate(absl::StrCat("the files of ", container.release, ", which ", container.id,
                           " has mounted, are gone"));
    }
    workers += container.role == "worker" ? 1 : 0;
    if (container.role != "slot" || container.slot == serving->slot) continue;
    const xpb::SlotFacts* known = executor::FindSlot(facts, container.slot);
    if (known == nullptr || known->warm_until() == 0 || known->port() != container.port) {
      Violate(absl::StrCat(container.id, " of ", app.name, " on port ", container.port,
                           " is nobody's"));
    }
  }
  if (workers > 1) Violate(absl::StrCat(app.name, " has ", workers, " workers"));
}

void Walk::Violate(const std::string& what) {
  if (violations_.size() < 10) violations_.push_back(what);
  Note(absl::StrCat("VIOLATION: ", what));
}

void Walk::Note(const std::string& what) {
  log_.push_back(what);
  if (log_.size() > 2 * kReportedSteps) log_.erase(log_.begin(), log_.begin() + kReportedSteps);
}

std::string Walk::Report() const {
  return absl::StrCat(absl::StrJoin(violations_, "\n"), "\n\nbefore that:\n",
                      absl::StrJoin(log_, "\n"));
}

}  // namespace slipway::testing
