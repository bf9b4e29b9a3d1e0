#include "tests/walk/simulated_docker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/spec.h"
#include "common/status.h"
#include "executor/failure.h"

namespace slipway::testing {

using executor::Failure;
using executor::ObservedContainer;
using executor::ObservedSlot;

absl::Status SimulatedDocker::Ask(const std::string& what) {
  if (!gate_(absl::StrCat("docker ", what)) || away) {
    return absl::UnavailableError("Docker: connection refused");
  }
  return absl::OkStatus();
}

std::string SimulatedDocker::NextId() { return absl::StrCat("container-", ++last_id_); }

const SimulatedContainer* SimulatedDocker::OnPort(uint32_t port) const {
  for (const SimulatedContainer& container : containers) {
    if (container.running && container.port == port && port != 0) return &container;
  }
  return nullptr;
}

void SimulatedDocker::Run(SimulatedContainer container) {
  container.id = NextId();
  containers.push_back(std::move(container));
}

void SimulatedDocker::Kill(uint32_t port) {
  for (SimulatedContainer& container : containers) {
    if (container.port == port) container.running = false;
  }
}

void SimulatedDocker::StopAll() {
  away = true;
  for (SimulatedContainer& container : containers) {
    container.starts_again = container.starts_again || container.running;
    container.running = false;
  }
}

void SimulatedDocker::ComeBack() {
  away = false;
  for (SimulatedContainer& container : containers) {
    if (!std::exchange(container.starts_again, false)) continue;
    container.running = true;
    ++container.starts;
  }
}

ObservedContainer SimulatedDocker::ToObserved(const SimulatedContainer& container) const {
  ObservedContainer observed;
  observed.id = container.id;
  observed.service = container.role == "slot" ? "web" : container.role;
  observed.release = container.release;
  observed.running = container.running;
  if (!container.running) observed.exit_code = 1;
  const auto program = programs.find(container.release);
  observed.health = program == programs.end() || program->second.healthy ? "healthy" : "unhealthy";
  observed.started_at = absl::StrCat(container.starts);
  return observed;
}

absl::Status SimulatedDocker::Prepare(const Release&, const pb::Manifest&, absl::string_view,
                                      const Call&) {
  return absl::OkStatus();
}

absl::StatusOr<pb::BuildEvidence> SimulatedDocker::Build(const Release&, const Call&) {
  if (absl::Status asked = Ask("build"); !asked.ok()) return asked;
  return pb::BuildEvidence();
}

// Each container but an older version's has its release's directory mounted.
absl::StatusOr<std::map<std::string, std::string>> SimulatedDocker::MountedReleases(
    const std::string& app, const std::vector<std::string>& releases) {
  if (absl::Status asked = Ask("mounts"); !asked.ok()) return asked;
  std::map<std::string, std::string> mounted;
  for (const SimulatedContainer& container : containers) {
    if (container.app == app && std::count(releases.begin(), releases.end(), container.release) > 0)
      mounted[container.release] = container.id;
  }
  return mounted;
}

absl::StatusOr<pb::SharedEvidence> SimulatedDocker::EnsureShared(const Release& release,
                                                                 const std::vector<std::string>&,
                                                                 const Release*, const Call&) {
  if (absl::Status asked = Ask("shared"); !asked.ok()) return asked;
  const bool there =
      std::any_of(containers.begin(), containers.end(), [&](const SimulatedContainer& container) {
        return container.app == release.app && container.role == "shared";
      });
  if (!there)
    Run({"", release.app, "shared", pb::SLOT_UNSPECIFIED, release.release, 0, true, 1, "", false,
         false});
  return pb::SharedEvidence();
}

absl::StatusOr<pb::StartEvidence> SimulatedDocker::StartSlot(const Release& release, pb::Slot slot,
                                                             const Call&) {
  if (absl::Status asked = Ask("start"); !asked.ok()) return asked;
  const uint32_t port = PortOf(release.spec, slot);
  pb::StartEvidence evidence;
  evidence.set_slot(slot);
  evidence.set_port(port);
  const SimulatedContainer* there = OnPort(port);
  if (there != nullptr && there->app == release.app && there->slot == slot &&
      there->release == release.release) {
    return evidence;
  }
  std::erase_if(containers, [&](const SimulatedContainer& container) {
    return container.app == release.app && container.role == "slot" && container.slot == slot;
  });
  if (OnPort(port) != nullptr || !programs[release.release].starts) {
    return Failure(pb::FAILURE_REASON_START, "web does not start");
  }
  Run({"", release.app, "slot", slot, release.release, port, true, 1, "", false, false});
  return evidence;
}

absl::Status SimulatedDocker::AnswerToNames(const Release& release, pb::Slot slot) {
  if (absl::Status asked = Ask("names"); !asked.ok()) return asked;
  named[release.app] = slot;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimulatedDocker::RemoveSlot(const std::string& app,
                                                                     pb::Slot slot, const Call&) {
  if (absl::Status asked = Ask("remove"); !asked.ok()) return asked;
  std::vector<std::string> removed;
  std::erase_if(containers, [&](const SimulatedContainer& container) {
    if (container.app != app || container.role != "slot" || container.slot != slot) return false;
    removed.push_back(container.id);
    return true;
  });
  return removed;
}

absl::StatusOr<std::vector<pb::Difference>> SimulatedDocker::Differences(const Release&, pb::Slot,
                                                                         bool) {
  return std::vector<pb::Difference>();
}

absl::StatusOr<ObservedSlot> SimulatedDocker::Observe(const std::string& app, pb::Slot slot,
                                                      Cancellation*) {
  if (absl::Status asked = Ask("observe"); !asked.ok()) return asked;
  ObservedSlot observed{slot, {}};
  for (SimulatedContainer& container : containers) {
    if (container.app != app || container.role != "slot" || container.slot != slot) continue;
    if (programs[container.release].dies_when_it_serves && serves_(app, container.port))
      container.running = false;
    observed.containers.push_back(ToObserved(container));
  }
  return observed;
}

absl::StatusOr<ObservedContainer> SimulatedDocker::OwnerOfPort(uint32_t port) {
  if (absl::Status asked = Ask("owner"); !asked.ok()) return asked;
  const SimulatedContainer* owner = OnPort(port);
  if (owner == nullptr) return absl::NotFoundError("no container publishes the port");
  return ToObserved(*owner);
}

absl::Status SimulatedDocker::CheckProjects(const pb::ApplicationSpec&) { return Ask("projects"); }

absl::Status SimulatedDocker::StopContainer(const std::string& id, const Call&) {
  if (absl::Status asked = Ask("stop"); !asked.ok()) return asked;
  std::erase_if(containers, [&](const auto& container) { return container.id == id; });
  return absl::OkStatus();
}

absl::StatusOr<pb::WorkersEvidence> SimulatedDocker::ReplaceWorkers(const Release& release,
                                                                    const Release*, const Call&) {
  if (absl::Status asked = Ask("workers"); !asked.ok()) return asked;
  std::erase_if(containers, [&](const SimulatedContainer& container) {
    return container.app == release.app && container.role == "worker";
  });
  Run({"", release.app, "worker", pb::SLOT_UNSPECIFIED, release.release, 0, true, 1, "", false,
       false});
  return pb::WorkersEvidence();
}

absl::StatusOr<pb::HookEvidence> SimulatedDocker::RunHook(const Release& release,
                                                          const pb::Hook& hook,
                                                          const std::string& key, const Call&) {
  if (absl::Status asked = Ask("hook"); !asked.ok()) return asked;
  pb::HookEvidence evidence;
  evidence.set_hook(hook.name());
  evidence.set_exit_code(programs[release.release].hook_exit_code);
  const bool ran =
      std::any_of(containers.begin(), containers.end(), [&](const SimulatedContainer& container) {
        return container.app == release.app && container.key == key;
      });
  evidence.set_already_ran(ran);
  if (ran) return evidence;
  std::erase_if(containers, [&](const SimulatedContainer& container) {
    return container.app == release.app && container.role == "hook";
  });
  Run({"", release.app, "hook", pb::SLOT_UNSPECIFIED, release.release, 0, false, 1, key, false,
       false});
  return evidence;
}

absl::StatusOr<pb::PruneEvidence> SimulatedDocker::Forget(const std::string&,
                                                          const std::vector<std::string>&,
                                                          const std::vector<std::string>&) {
  if (absl::Status asked = Ask("forget"); !asked.ok()) return asked;
  return pb::PruneEvidence();
}

}  // namespace slipway::testing
