// What people and machines do on a walk, but for deployments.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "tests/walk/walk.h"

namespace slipway::testing {

namespace fs = std::filesystem;

WalkFaults Walk::SomeFaults() {
  WalkFaults faults;
  const int at = 1 + Pick(45 * static_cast<int>(hosts_.size()));
  switch (Pick(18)) {
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
      faults.docker_stops_containers = Chance(50);
      break;
    case 5:
      faults.nginx_restart_at = at;
      break;
    case 6:
      faults.cancel_at = 1 + Pick(12 * static_cast<int>(hosts_.size()));
      break;
    case 7:
      faults.nginx_refuses = true;
      break;
    case 8:
      faults.host_rollback_at = 1 + Pick(12 * static_cast<int>(hosts_.size()));
      break;
    case 9:
      faults.candidate_dies_at = at;
      break;
    case 10:
      faults.disk_full_at = at;
      faults.disk_free_at = at + 1 + Pick(8);
      break;
    case 11:
      faults.answer_lost_at = 1 + Pick(14 * static_cast<int>(hosts_.size()));
      break;
    default:
      break;
  }
  if (Chance(20)) faults.controller_dies = 1 + Pick(20);
  faults.hold_before_flip = Chance(5);
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

void Walk::Act(Application& app) {
  const size_t host = AnyHost();
  switch (Pick(hosts_.size() > 1 ? 27 : 24)) {
    case 0:
    case 1:
      return RollBack(app, SomeFaults());
    case 2:
    case 3:
      if (Chance(20)) return CrashInRollbackOnHost(app, 1 + Pick(20), host);
      RollBackOnHost(app, host);
      return;
    case 4:
    case 5:
      return Reconfigure(app);
    case 6:
      return EditFile(app);
    case 7:
      return KillContainer(app);
    case 8:
      return RestartNginx(*hosts_[host]);
    case 9:
    case 10:
      return LetTimePass(std::chrono::minutes(1 + Pick(20)));
    case 11:
    case 12:
      return RestartExecutor(host);
    case 13:
      return hosts_[host]->nginx().ReloadByOthers();
    case 14:
      return DeployGood(app);
    case 15:
      return RestartDocker(host);
    case 16:
      return DeployAll(SomeFaults());
    case 17:
      return DeployTwice(app, SomeFaults());
    case 24:
    case 25:
    case 26:
      return ChangeFleet(app);
    default:
      Deploy(app, SomeProgram(), SomeFaults());
      return;
  }
}

// When faults stop, a good release can always be deployed.
void Walk::DeployGood(Application& app) {
  for (const auto& host : hosts_) MendFiles(*host);
  const std::string release = MakeRelease(app, Program());
  Admit(app, pb::DEPLOYMENT_KIND_DEPLOY, release);
  if (admitted_.empty()) return;
  RunAll({});
  for (const controller::RolloutRecord& rollout : last_.rollouts) {
    if (app.serving[rollout.host] != release) {
      Violate(absl::StrCat("a good release could not be deployed on ", rollout.host,
                           ", which is sound"));
    }
  }
}

void Walk::ChangeFleet(Application& app) {
  const size_t at = AnyHost();
  const std::string host = hosts_[at]->name();
  if (Chance(50)) {
    if (cordoned_.contains(host)) return Uncordon(at, SomeFaults());
    return Cordon(at);
  }
  auto& names = *app.spec.mutable_hosts();
  const auto found = std::find(names.begin(), names.end(), host);
  if (found == names.end()) {
    Note(absl::StrCat(host, " is of ", app.name, " again"));
    *names.Add() = host;
  } else if (names.size() > 1) {
    Note(absl::StrCat(host, " is no host of ", app.name, " any more"));
    names.erase(found);
  }
}

void Walk::Cordon(size_t host) {
  Note(absl::StrCat("cordon ", hosts_[host]->name()));
  cordoned_.insert(hosts_[host]->name());
}

// As the reconciler does with hosts that a deployment has left out.
void Walk::Uncordon(size_t at, const WalkFaults& faults) {
  const std::string host = hosts_[at]->name();
  Note(absl::StrCat("uncordon ", host));
  cordoned_.erase(host);
  for (Application& app : applications_) {
    const auto served = store().ListServed(app.name, 1).value();
    if (served.empty()) continue;
    const auto release = store().GetRelease(app.name, served[0].release).value();
    const auto spec = store().GetSpec(app.name, release.spec_revision).value();
    if (std::find(spec.hosts().begin(), spec.hosts().end(), host) == spec.hosts().end()) continue;
    Admit(app, pb::DEPLOYMENT_KIND_RECONCILE, served[0].release, {host});
    RunAll(faults);
  }
}

bool Walk::RollBackOnHost(Application& app, size_t at) {
  WalkedHost& host = *hosts_[at];
  Note(absl::StrCat("roll back ", app.name, " on ", host.name()));
  std::string release;
  const auto result = host.operations().RunLocally(app.name, [&](const executor::StepCall& call) {
    return host.steps().RollBack(app.name, call, &release);
  });
  if (host.down()) {
    faults_ = {};
    Crash(host);
    // It was finished or taken back; either is right.
    const SimulatedContainer* now = host.Serving(app.name);
    if (now != nullptr && !app.attention.contains(host.name())) {
      app.serving[host.name()] = now->release;
    }
    return false;
  }
  if (!result.ok()) return false;
  Note(absl::StrCat("  ", result->summary()));
  if (Chance(50)) controller_->Hear(host);
  if (!result->succeeded()) return false;
  app.serving[host.name()] = release;
  app.attention.erase(host.name());
  return true;
}

void Walk::CrashInRollbackOnHost(Application& app, int effect, size_t host) {
  effects_ = 0;
  faults_ = {};
  faults_.crash_at = effect;
  RollBackOnHost(app, host);
  faults_ = {};
}

void Walk::Reconfigure(Application& app) {
  switch (Pick(hosts_.size() > 1 ? 8 : 6)) {
    case 0: {
      const uint32_t base =
          20000 + (app.name == "shop1" ? 100u : 0u) + static_cast<uint32_t>(Pick(10)) * 2;
      app.spec.mutable_slots()->set_blue(base);
      app.spec.mutable_slots()->set_green(base + 1);
      return Note(absl::StrCat("slots of ", app.name, " from ", base));
    }
    case 1: {
      const bool marker = app.spec.nginx().mode() == pb::SWITCH_MODE_MARKER;
      app.spec.mutable_nginx()->set_mode(marker ? pb::SWITCH_MODE_RELOAD : pb::SWITCH_MODE_MARKER);
      return Note(absl::StrCat("mode of ", app.name, marker ? " reload" : " marker"));
    }
    case 2: {
      const int warm = Chance(50) ? 0 : 600;
      app.spec.mutable_keep()->mutable_warm()->set_seconds(warm);
      return Note(absl::StrCat("keep.warm of ", app.name, " ", warm, "s"));
    }
    case 3: {
      const int kept = 2 + Pick(3);
      app.spec.mutable_keep()->set_releases(static_cast<uint32_t>(kept));
      return Note(absl::StrCat("keep.releases of ", app.name, " ", kept));
    }
    case 4: {
      const int successes = 1 + Pick(2);
      app.spec.mutable_health()->set_successes(static_cast<uint32_t>(successes));
      return Note(absl::StrCat("health.successes of ", app.name, " ", successes));
    }
    case 5: {
      app.spec.mutable_hooks()->clear_before_switch();
      if (Chance(50)) {
        pb::Hook& hook = *app.spec.mutable_hooks()->add_before_switch();
        hook.set_name("migrate");
        hook.set_service("web");
        hook.add_command("migrate");
        hook.set_once(Chance(50));
        hook.mutable_timeout()->set_seconds(60);
      }
      return Note(absl::StrCat("hooks of ", app.name, " ", app.spec.hooks().before_switch_size()));
    }
    default:
      return ReconfigureFleet(app);
  }
}

void Walk::ReconfigureFleet(Application& app) {
  auto& rollout = *app.spec.mutable_rollout();
  rollout.set_max_failures(static_cast<uint32_t>(Pick(2)));
  rollout.set_on_failure(Chance(50) ? pb::FAILURE_POLICY_PAUSE : pb::FAILURE_POLICY_ALL_OR_NOTHING);
  rollout.set_batch(Chance(50) ? "1" : "100%");
  Note(absl::StrCat("rollout of ", app.name, ": ", rollout.ShortDebugString()));
}

void Walk::EditFile(Application& app) {
  WalkedHost& host = *hosts_[AnyHost()];
  const fs::path path = host.nginx().FileOf(app.name);
  const auto text = ReadFile(path);
  if (!text.ok()) return;
  Note(absl::StrCat("edit the upstream file of ", app.name, " on ", host.name()));
  std::ofstream(path, std::ios::trunc) << *text << "# by hand\n";
}

void Walk::KillContainer(Application& app) {
  WalkedHost& host = *hosts_[AnyHost()];
  const uint32_t port = host.nginx().PortFor(app.name);
  if (port == 0) return;
  Note(absl::StrCat("kill what serves ", app.name, " on ", host.name()));
  host.docker().Kill(port);
  app.attention.insert(host.name());
}

void Walk::RestartNginx(WalkedHost& host) {
  Note(absl::StrCat("restart nginx of ", host.name()));
  host.nginx().Stop();
  host.nginx().Start();
  if (host.nginx().running()) return;
  MendFiles(host);
  host.nginx().Start();
  if (!host.nginx().running()) Violate("nginx does not start");
}

// A file that was edited by hand so that nginx refuses it is in the way of every site: a person has
// to mend it.
void Walk::MendFiles(WalkedHost& host) {
  for (const Application& app : applications_) {
    const fs::path path = host.nginx().FileOf(app.name);
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
  return Host().Execute(std::move(request));
}

void Walk::RunOlderVersion(Application& app) {
  const uint32_t port = app.spec.slots().blue();
  docker().Run(
      {"", app.name, "adopted", pb::SLOT_UNSPECIFIED, "older", port, true, 1, "", false, false});
  std::ofstream(nginx().FileOf(app.name))
      << absl::StrCat("upstream ", app.spec.nginx().upstream(), " { server ",
                      nginx().Options().address, ":", port, "; }\n");
  nginx().ReloadByOthers();
}

void Walk::RestartExecutor(size_t host) {
  Note(absl::StrCat("restart the executor of ", hosts_[host]->name()));
  Crash(*hosts_[host]);
}

void Walk::RestartDocker(size_t host) {
  Note(absl::StrCat("restart Docker of ", hosts_[host]->name()));
  hosts_[host]->docker().StopAll();
  hosts_[host]->docker().ComeBack();
}

void Walk::LetTimePass(std::chrono::minutes time) {
  Note(absl::StrCat(time.count(), " minutes pass"));
  clock_.SleepFor(time);
  EndWarmth();
}

// As WarmKeeper does.
void Walk::EndWarmth() {
  const int64_t now = std::chrono::system_clock::to_time_t(clock_.WallNow());
  for (const auto& host : hosts_) {
    for (const Application& app : applications_) {
      const xpb::ApplicationFacts facts = host->journal().FactsOf(app.name);
      for (const xpb::SlotFacts& slot : facts.slots()) {
        if (slot.warm_until() == 0 || slot.warm_until() > now) continue;
        host->operations().WhileIdle(app.name, [&] {
          const auto stopped = host->steps().EndWarmth(app.name, slot.slot());
          if (!stopped.ok()) Note(absl::StrCat("  not stopped: ", stopped.status().message()));
        });
      }
    }
  }
}

}  // namespace slipway::testing
