#include "tests/walk/walk.h"

#include <algorithm>
#include <csignal>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/spec.h"

namespace slipway::testing {
namespace {

constexpr size_t kReportedSteps = 80;

// A loopback address of its own for every host of every walk of every process.
std::string AddressFor(uint64_t seed, int host) {
  const auto process = static_cast<uint64_t>(getpid());
  return absl::StrCat("127.", 90 + process / 250 % 100, ".", process % 250, ".",
                      1 + (seed * 3 + static_cast<uint64_t>(host)) % 250);
}

}  // namespace

// All writes of this process to files fail while it is full.
void Walk::FillDisk(bool full) {
  static const rlimit before = [] {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    return limit;
  }();
  const rlimit none{0, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, full ? &none : &before);
}

Walk::Walk(uint64_t seed, int hosts) : random_(seed) {
  for (int i = 0; i < hosts; ++i) {
    const std::string name = absl::StrCat("host-", i);
    hosts_.push_back(std::make_unique<WalkedHost>(
        name, folder_.path() / name, AddressFor(seed, i), clock_,
        [this](WalkedHost& host, const std::string& effect) { return Gate(host, effect); }));
  }
  controller_ = std::make_unique<WalkedController>(
      folder_.path() / "controller", clock_,
      [this](const std::string& name) -> WalkedHost* {
        for (const auto& host : hosts_) {
          if (host->name() == name) return host.get();
        }
        return nullptr;
      },
      [this](const pb::ApplicationSpec& spec) {
        std::vector<controller::Target> targets;
        for (const std::string& host : spec.hosts()) {
          targets.push_back({host, false, cordoned_.contains(host)});
        }
        return targets;
      });
  for (int i = 0; i < 2; ++i) {
    Application app;
    app.name = absl::StrCat("shop", i);
    app.spec.set_app(app.name);
    for (const auto& host : hosts_) app.spec.add_hosts(host->name());
    app.spec.mutable_compose()->set_project(app.name);
    app.spec.mutable_compose()->add_slotted("web");
    app.spec.mutable_compose()->add_workers("worker");
    app.spec.mutable_slots()->set_blue(20000 + static_cast<uint32_t>(i) * 100);
    app.spec.mutable_slots()->set_green(20001 + static_cast<uint32_t>(i) * 100);
    app.spec.mutable_health()->mutable_docker();
    app.spec.mutable_health()->set_successes(1);
    app.spec.mutable_health()->mutable_timeout()->set_seconds(5);
    app.spec.mutable_nginx()->set_upstream(absl::StrCat(app.name, "_backend"));
    app.spec.mutable_rollout()->mutable_bake()->set_nanos(3'000'000);
    app.spec.mutable_rollout()->mutable_drain()->set_seconds(1);
    app.spec.mutable_keep()->set_releases(3);
    app.spec.mutable_keep()->mutable_warm()->set_seconds(600);
    ApplyDefaults(app.spec);
    store().ApplyApplication(app.spec, {}, "ann").value();
    applications_.push_back(std::move(app));
  }
  for (const auto& host : hosts_) {
    // Of somebody else, who uses the same Docker.
    host->docker().Run(
        {"", "stranger", "slot", pb::SLOT_BLUE, "strange", 29'000, true, 1, "", false, false});
  }
}

Walk::~Walk() { FillDisk(false); }

bool Walk::Gate(WalkedHost& host, const std::string& effect) {
  if (on_effect) on_effect(effect);
  CheckTraffic();
  const int now = ++effects_;
  MeetFaults(host, now);
  if (now != faults_.crash_at) return true;
  Note(absl::StrCat("  ", host.name(), " crashes ", faults_.crash_after ? "after " : "before ",
                    effect));
  FillDisk(false);
  std::vector<std::string> apps;
  for (const Application& app : applications_) apps.push_back(app.name);
  host.Die(apps);
  return faults_.crash_after;
}

void Walk::MeetFaults(WalkedHost& host, int now) {
  if (now == faults_.disk_full_at) FillDisk(true);
  if (now == faults_.disk_free_at) FillDisk(false);
  if (now == faults_.docker_away_at) {
    host.docker().away = true;
    if (faults_.docker_stops_containers) host.docker().StopAll();
  }
  if (now == faults_.docker_back_at) {
    for (const auto& one : hosts_) one->docker().ComeBack();
  }
  if (now == faults_.nginx_restart_at) {
    host.nginx().Stop();
    host.nginx().Start();
  }
  if (now == faults_.candidate_dies_at) {
    for (SimulatedContainer& container : host.docker().containers) {
      if (container.role != "slot" || container.app == "stranger") continue;
      if (host.nginx().PortFor(container.app) == container.port) continue;
      container.running = false;
      container.died = true;
    }
  }
  if (now == faults_.suspend_at) host.Suspend();
}

int Walk::Pick(int count) {
  return static_cast<int>(random_() % static_cast<uint64_t>(std::max(count, 1)));
}
bool Walk::Chance(int percent) { return Pick(100) < percent; }
Walk::Application& Walk::AnyApplication() {
  return applications_[static_cast<size_t>(Pick(static_cast<int>(applications_.size())))];
}
size_t Walk::AnyHost() { return static_cast<size_t>(Pick(static_cast<int>(hosts_.size()))); }
Walk::Application& Walk::ByName(const std::string& app) {
  return *std::find_if(applications_.begin(), applications_.end(),
                       [&](const Application& one) { return one.name == app; });
}

WalkedHost& Walk::HostNamed(const std::string& name) {
  return **std::find_if(hosts_.begin(), hosts_.end(),
                        [&](const auto& host) { return host->name() == name; });
}

void Walk::Crash(WalkedHost& host) {
  FillDisk(false);
  host.Restart();
}

bool Walk::Step() {
  faults_ = {};
  effects_ = 0;
  Act(AnyApplication());
  MakeSound();
  clock_.SleepFor(std::chrono::seconds(2));
  CheckQuiet();
  return violations_.empty();
}

void Walk::MakeSound() {
  faults_ = {};
  FillDisk(false);
  for (const auto& host : hosts_) {
    host->docker().ComeBack();
    host->nginx().RefuseReloads(false);
    if (!host->nginx().running()) RestartNginx(*host);
  }
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
