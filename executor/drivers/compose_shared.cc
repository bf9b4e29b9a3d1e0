// Shared services: started when absent, never touched otherwise, and the networks and volumes that
// everything stands on.
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"
#include "executor/drivers/compose_workload.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kLookAgain{50};

std::map<std::string, std::string> Strings(const json& definition, const char* key) {
  std::map<std::string, std::string> strings;
  const auto found = definition.find(key);
  if (found == definition.end() || !found->is_object()) return strings;
  for (const auto& item : found->items()) {
    strings[item.key()] =
        item.value().is_string() ? item.value().get<std::string>() : item.value().dump();
  }
  return strings;
}

}  // namespace

// With compose's own labels, so that either version takes them for its own.
absl::Status ComposeWorkload::EnsureResources(const StagedRelease& release, const CutResult& cut) {
  const std::string& project = release.spec.compose().project();
  for (const json& network : cut.networks) {
    const std::string key = network["key"].get<std::string>();
    DockerLabels labels = Strings(network["definition"], "labels");
    labels.insert({{kLabelProject, project}, {"com.docker.compose.network", key}});
    SLIPWAY_RETURN_IF_ERROR(
        engine_.CreateNetwork(network["name"].get<std::string>(), labels).status());
  }
  for (const json& volume : cut.volumes) {
    const std::string key = volume["key"].get<std::string>();
    const json& definition = volume["definition"];
    DockerLabels labels = Strings(definition, "labels");
    labels.insert({{kLabelProject, project}, {"com.docker.compose.volume", key}});
    SLIPWAY_RETURN_IF_ERROR(engine_.CreateVolume(volume["name"].get<std::string>(),
                                                 definition.value("driver", "local"),
                                                 Strings(definition, "driver_opts"), labels));
  }
  return engine_.CreateNetwork(FrontNetwork(release.app), {{kLabelApp, release.app}}).status();
}

absl::StatusOr<pb::SharedEvidence> ComposeWorkload::EnsureShared(const StagedRelease& release,
                                                                 const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  const std::string& project = release.spec.compose().project();
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers, engine_.InspectAll({{kLabelProject, project}}));
  pb::SharedEvidence evidence;
  std::vector<std::string> absent;
  for (const std::string& service : cut.shared_services) {
    const DockerContainer* found = nullptr;
    for (const DockerContainer& container : containers) {
      const auto label = container.labels.find(kLabelService);
      if (label != container.labels.end() && label->second == service) found = &container;
    }
    if (found == nullptr) {
      absent.push_back(service);
      evidence.add_started_services(service);
      continue;
    }
    const auto definition = found->labels.find(kLabelDefinition);
    if (definition != found->labels.end() && definition->second != cut.definitions.at(service)) {
      evidence.add_changed_services(service);
    }
    if (found->running()) {
      evidence.add_running_services(service);
    } else {
      SLIPWAY_RETURN_IF_ERROR(engine_.Start(found->id));
      evidence.add_started_services(service);
    }
  }
  if (!absent.empty()) {
    const absl::Status started =
        compose_.Up(ProjectFor(release, project, "shared.json"), absent, call);
    if (!started.ok()) {
      return Failure(pb::FAILURE_REASON_SHARED_SERVICE, started.message(),
                     "when a port is taken by an installation of your own, name its project in "
                     "compose.project to adopt it");
    }
  }
  SLIPWAY_RETURN_IF_ERROR(EnsureResources(release, cut));
  SLIPWAY_ASSIGN_OR_RETURN(const auto now, engine_.List({{kLabelProject, project}}));
  for (const DockerContainer& container : now) {
    const auto label = container.labels.find(kLabelService);
    if (label == container.labels.end() || !cut.shared_services.contains(label->second)) continue;
    if (container.networks.contains(FrontNetwork(release.app)) ||
        container.networks.contains("host"))
      continue;
    SLIPWAY_RETURN_IF_ERROR(engine_.Connect(FrontNetwork(release.app), container.id, {}));
  }
  SLIPWAY_RETURN_IF_ERROR(AwaitHealthy(project, cut.awaited_healthy, call));
  return evidence;
}

absl::Status ComposeWorkload::AwaitHealthy(const std::string& project,
                                           const std::set<std::string>& services,
                                           const CallContext& call) {
  if (services.empty()) return absl::OkStatus();
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto containers, engine_.InspectAll({{kLabelProject, project}}));
    std::set<std::string> waiting = services;
    for (const DockerContainer& container : containers) {
      const auto label = container.labels.find(kLabelService);
      // Without a health check of its own, running is all that can be known.
      if (label != container.labels.end() && container.running() &&
          (container.health == "healthy" || container.health.empty())) {
        waiting.erase(label->second);
      }
    }
    if (waiting.empty()) return absl::OkStatus();
    if (call.cancellation != nullptr && call.cancellation->IsCancelled())
      return absl::CancelledError("cancelled");
    if (std::chrono::steady_clock::now() > call.deadline) {
      return Failure(pb::FAILURE_REASON_SHARED_SERVICE,
                     absl::StrCat("not healthy in time: ", absl::StrJoin(waiting, ", ")),
                     "look at it with `slipway logs --service`");
    }
    if (call.cancellation != nullptr) {
      call.cancellation->WaitFor(kLookAgain);
    } else {
      std::this_thread::sleep_for(kLookAgain);
    }
  }
}

}  // namespace slipway::executor
