// Slots: started, observed and removed.
#include "executor/drivers/compose_workload.h"

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/mutex.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/thread.h"
#include "executor/drivers/compose_document.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

// What `docker stop` gives a container that says nothing else.
constexpr std::chrono::seconds kStopGrace{10};
// A longer time in a compose file is taken for this: the steps that wait for it have deadlines.
constexpr std::chrono::seconds kLongestGrace{10 * 60};

bool AllRun(const std::vector<DockerContainer>& containers, const CutResult& cut,
            const std::string& release) {
  for (const auto& item : cut.blue["services"].items()) {
    const bool runs =
        std::any_of(containers.begin(), containers.end(), [&](const DockerContainer& container) {
          return container.running() && container.Label(kLabelService) == item.key() &&
                 container.Label(kLabelRelease) == release;
        });
    if (!runs) return false;
  }
  return true;
}

pb::StartEvidence EvidenceOf(const std::vector<DockerContainer>& containers, pb::Slot slot,
                             uint32_t port) {
  pb::StartEvidence evidence;
  evidence.set_slot(slot);
  evidence.set_port(port);
  for (const DockerContainer& container : containers) {
    evidence.add_containers(
        absl::StrCat(container.Label(kLabelService), "=", container.id.substr(0, 12)));
  }
  return evidence;
}

}  // namespace

std::chrono::seconds GraceOf(const DockerContainer& container, const json* file) {
  int64_t seconds = 0;
  if (absl::SimpleAtoi(container.Label(kLabelGrace), &seconds))
    return std::min(std::chrono::seconds(seconds), kLongestGrace);
  if (container.stop_timeout) return std::min(*container.stop_timeout, kLongestGrace);
  if (file != nullptr) {
    const auto services = file->find("services");
    const std::string name = container.Label(kLabelService);
    if (services != file->end() && services->contains(name)) {
      const auto grace = StopGraceOf((*services)[name]);
      if (grace) return std::min(*grace, kLongestGrace);
    }
  }
  return kStopGrace;
}

absl::Status ComposeWorkload::StopAll(const std::vector<DockerContainer>& containers,
                                      const json* file) {
  std::vector<absl::Status> stopped(containers.size());
  std::vector<std::thread> threads;
  threads.reserve(containers.size());
  for (size_t i = 0; i < containers.size(); ++i) {
    const auto stop = [&, i] {
      stopped[i] = engine_.Stop(containers[i].id, GraceOf(containers[i], file));
    };
    auto thread = StartThread(stop);
    if (thread.ok()) threads.push_back(*std::move(thread));
    if (!thread.ok()) stop();
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : stopped) SLIPWAY_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

ObservedContainer ToObserved(const DockerContainer& container) {
  ObservedContainer observed;
  observed.id = container.id;
  observed.service = container.Label(kLabelService);
  observed.release = container.Label(kLabelRelease);
  observed.running = container.running();
  observed.restart_count = container.restart_count;
  // A list does not have it, and has no time of the start either.
  if (!container.running() && !container.started_at.empty())
    observed.exit_code = container.exit_code;
  observed.health = container.health;
  observed.started_at = container.started_at;
  return observed;
}

absl::StatusOr<pb::StartEvidence> ComposeWorkload::StartSlot(const StagedRelease& release,
                                                             pb::Slot slot,
                                                             const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  const std::string project = SlotProject(release.app, slot);
  const uint32_t port = PortOf(release.spec, slot);
  const DockerLabels labels = {{kLabelProject, project}};
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<DockerContainer> containers, ListOwn(labels));
  if (AllRun(containers, cut, release.release)) return EvidenceOf(containers, slot, port);
  const bool foreign =
      std::any_of(containers.begin(), containers.end(), [&](const DockerContainer& container) {
        return container.Label(kLabelRelease) != release.release;
      });
  if (foreign) SLIPWAY_RETURN_IF_ERROR(RemoveSlotContainers(release.app, slot).status());

  SLIPWAY_RETURN_IF_ERROR(MakeLastingBinds(release, cut));
  const ComposeCli::Project target =
      ProjectFor(release, project, absl::StrCat(SlotWord(slot), ".json"));
  SLIPWAY_RETURN_IF_ERROR(compose_.Create(target, {}, call));
  SLIPWAY_ASSIGN_OR_RETURN(containers, engine_.List(labels));
  SLIPWAY_RETURN_IF_ERROR(JoinNetworks(containers, release, cut));
  if (cut.ordered_start) {
    SLIPWAY_RETURN_IF_ERROR(compose_.Up(target, {}, call));
  } else {
    for (const DockerContainer& container : containers) {
      if (absl::Status status = engine_.Start(container.id); !status.ok()) {
        return Failure(pb::FAILURE_REASON_START,
                       absl::StrCat(container.Label(kLabelService),
                                    " does not start: ", std::string(status.message())));
      }
    }
  }
  return EvidenceOf(containers, slot, port);
}

absl::StatusOr<std::vector<std::string>> ComposeWorkload::RemoveSlotContainers(
    const std::string& app, pb::Slot slot) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers,
                           InspectOwn({{kLabelProject, SlotProject(app, slot)}}));
  SLIPWAY_RETURN_IF_ERROR(StopAll(containers));
  std::vector<std::string> removed;
  for (const DockerContainer& container : containers) {
    SLIPWAY_RETURN_IF_ERROR(engine_.Remove(container.id));
    removed.push_back(container.id);
  }
  return removed;
}

absl::StatusOr<std::vector<std::string>> ComposeWorkload::RemoveSlot(const std::string& app,
                                                                     pb::Slot slot,
                                                                     const CallContext&) {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<std::string> removed, RemoveSlotContainers(app, slot));
  SLIPWAY_RETURN_IF_ERROR(RemoveNetworks(app, slot));
  return removed;
}

absl::StatusOr<ObservedSlot> ComposeWorkload::Observe(const std::string& app, pb::Slot slot,
                                                      Cancellation* cancellation) {
  ObservedSlot observed{slot, {}};
  if (slot == pb::SLOT_UNSPECIFIED) return observed;
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers,
                           engine_.List({{kLabelProject, SlotProject(app, slot)}}));
  for (const DockerContainer& container : containers) {
    if (IsForeign(container)) continue;
    // Docker answers a list at once, and no question about a container that it is just restarting.
    if (!container.running()) {
      observed.containers.push_back(ToObserved(container));
      continue;
    }
    const auto whole = engine_.Inspect(container.id, cancellation);
    if (absl::IsNotFound(whole.status())) continue;
    SLIPWAY_RETURN_IF_ERROR(whole.status());
    observed.containers.push_back(ToObserved(*whole));
  }
  return observed;
}

std::string ComposeWorkload::AwaitDeath(const std::string& app, pb::Slot slot, Cancellation& stop) {
  const std::optional<Death> death = AwaitDeathIn(SlotProject(app, slot), stop);
  return death ? death->what : "";
}

std::optional<ComposeWorkload::Death> ComposeWorkload::AwaitDeathIn(const std::string& project,
                                                                    Cancellation& stop) {
  // A death just before this call counts too; one of an earlier tenant of the project does not.
  constexpr int64_t kLookBack = 600;
  const DockerLabels labels = {{kLabelProject, project}};
  const auto tenants = engine_.List(labels);
  const auto is_tenant = [&tenants](const std::string& id) {
    return tenants.ok() &&
           std::any_of(tenants->begin(), tenants->end(),
                       [&id](const DockerContainer& container) { return container.id == id; });
  };
  std::optional<Death> death;
  const auto note = [&](const DockerEvent& event) {
    if (event.action != "die" || !is_tenant(event.id)) return true;
    const auto attribute = [&event](const char* name) {
      const auto found = event.attributes.find(name);
      return found == event.attributes.end() ? std::string("?") : found->second;
    };
    death = Death{event.id, absl::StrCat("service ", attribute(kLabelService), " ended, exit code ",
                                         attribute("exitCode"))};
    return false;
  };
  const int64_t since =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) - kLookBack;
  const absl::Status ended = engine_.Events(labels, since, &stop, nullptr, note);
  // Without events (Docker restarts) the caller's own looks have to do.
  if (!ended.ok() || !death) stop.WaitUntilCancelled();
  return death;
}

absl::StatusOr<ObservedContainer> ComposeWorkload::OwnerOfPort(uint32_t port) {
  SLIPWAY_ASSIGN_OR_RETURN(const DockerContainer container, engine_.OwnerOfPort(port));
  return ToObserved(container);
}

absl::Status ComposeWorkload::StopContainer(const std::string& id, const CallContext&) {
  const auto container = engine_.Inspect(id);
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(container.status());
  SLIPWAY_RETURN_IF_ERROR(engine_.Stop(id, GraceOf(*container)));
  // Left there, a restart policy of `always` would bring it back with the next start of Docker.
  return engine_.Remove(id);
}

absl::StatusOr<int> ComposeWorkload::RunInContainer(const std::string& container,
                                                    const std::vector<std::string>& argv,
                                                    std::chrono::nanoseconds timeout) {
  SLIPWAY_ASSIGN_OR_RETURN(const ExecResult result, engine_.Exec(container, argv, timeout));
  return result.exit_code;
}

std::vector<std::string> ComposeWorkload::Tail(const std::string& container, int lines) {
  return engine_.Tail(container, lines).value_or(std::vector<std::string>());
}

absl::Status ComposeWorkload::StreamLogs(
    const std::string& app, pb::Slot slot, const std::string& service, bool follow, int tail,
    const std::function<bool(absl::string_view service, absl::string_view line)>& sink) {
  std::vector<DockerContainer> containers;
  if (!service.empty()) {
    // A shared service or a worker first; a slotted one has a container in each slot.
    SLIPWAY_ASSIGN_OR_RETURN(containers, engine_.List({{kLabelService, service}}));
    std::erase_if(containers, [&](const DockerContainer& container) {
      const std::string owner = container.Label(kLabelApp);
      // A shared service that was taken over has no label of ours, and stands on the front network.
      const bool ours =
          owner == app || (owner.empty() && container.networks.contains(FrontNetwork(app)));
      const std::string of_slot = container.Label(kLabelSlot);
      return !ours || (!of_slot.empty() && of_slot != SlotWord(slot));
    });
  } else {
    SLIPWAY_ASSIGN_OR_RETURN(containers, engine_.List({{kLabelProject, SlotProject(app, slot)}}));
  }
  if (containers.empty()) {
    return Error(
        absl::StatusCode::kNotFound, "NO_CONTAINER",
        absl::StrCat("no container of ", service.empty() ? app : service, " is on this host"));
  }
  Mutex mutex;
  Cancellation stop;
  std::vector<std::thread> readers;
  readers.reserve(containers.size());
  absl::Status started;
  for (const DockerContainer& container : containers) {
    auto reader = StartThread([&, container] {
      const std::string name = container.Label(kLabelService);
      const absl::Status streamed =
          engine_.StreamLogs(container.id, follow, tail, &stop, [&](absl::string_view line) {
            MutexLock lock(mutex);
            if (!stop.IsCancelled() && sink(name, line)) return true;
            stop.Cancel();
            return false;
          });
      static_cast<void>(streamed);
    });
    started = reader.status();
    if (!started.ok()) break;
    readers.push_back(*std::move(reader));
  }
  if (!started.ok()) stop.Cancel();
  for (std::thread& reader : readers) reader.join();
  return started;
}

}  // namespace slipway::executor
