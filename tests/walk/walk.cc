#include "tests/walk/walk.h"

#include <algorithm>
#include <fstream>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/spec.h"
#include "tests/support/file_tree.h"

namespace slipway::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReportedSteps = 60;
constexpr char kComposeFile[] = "services: {web: {image: web}}\n";

void Put(BlobStore& blobs, const std::string& content) {
  auto writer = blobs.Create(Sha256Of(content));
  (*writer)->Append(content).IgnoreError();
  (*writer)->Commit().IgnoreError();
}

// A loopback address of its own for every walk of every process, so that walks do not share ports.
std::string AddressFor(uint64_t seed) {
  const auto process = static_cast<uint64_t>(getpid());
  return absl::StrCat("127.", 90 + process / 250 % 100, ".", process % 250, ".", 1 + seed % 250);
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
      if (Chance(20)) {
        CrashInRollbackOnHost(app, 1 + Pick(20));
      } else {
        RollBackOnHost(app);
      }
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
