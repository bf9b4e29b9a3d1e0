// Shared services: started when absent, never touched otherwise, and the networks and volumes that
// everything stands on.
#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"
#include "executor/drivers/call_stop.h"
#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_workload.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

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

DockerNetworkSpec NetworkSpec(const json& network) {
  const json& definition = network["definition"];
  const json addresses = definition.value("ipam", json::object());
  DockerNetworkSpec spec;
  spec.name = network["name"].get<std::string>();
  spec.labels = Strings(definition, "labels");
  spec.driver = definition.value("driver", "");
  spec.options = Strings(definition, "driver_opts");
  spec.internal = definition.value("internal", false);
  spec.attachable = definition.value("attachable", false);
  spec.ipv6 = definition.value("enable_ipv6", false);
  spec.address_driver = addresses.value("driver", "");
  spec.address_options = Strings(addresses, "options");
  for (const json& entry : addresses.value("config", json::array())) {
    spec.subnets.push_back({entry.value("subnet", ""), entry.value("ip_range", ""),
                            entry.value("gateway", ""), Strings(entry, "aux_addresses")});
  }
  return spec;
}

}  // namespace

// With compose's own labels, so that either version takes them for its own.
absl::Status ComposeWorkload::EnsureResources(const StagedRelease& release, const CutResult& cut) {
  const std::string& project = release.spec.compose().project();
  for (const json& network : cut.networks) {
    DockerNetworkSpec spec = NetworkSpec(network);
    spec.labels.insert({{kLabelApp, release.app},
                        {kLabelProject, project},
                        {"com.docker.compose.network", network["key"].get<std::string>()}});
    SLIPWAY_RETURN_IF_ERROR(engine_.CreateNetwork(spec).status());
  }
  for (const json& volume : cut.volumes) {
    const std::string key = volume["key"].get<std::string>();
    const json& definition = volume["definition"];
    DockerLabels labels = Strings(definition, "labels");
    labels.insert({{kLabelProject, project}, {kLabelVolume, key}});
    SLIPWAY_RETURN_IF_ERROR(engine_.CreateVolume(volume["name"].get<std::string>(),
                                                 definition.value("driver", "local"),
                                                 Strings(definition, "driver_opts"), labels));
  }
  if (!UsesFrontNetwork(cut)) return absl::OkStatus();
  DockerNetworkSpec front;
  front.name = FrontNetwork(release.app);
  front.labels = {{kLabelApp, release.app}};
  // Names are all that it is for. Docker sends published ports through the network that comes first, and
  // moves them, which ends their connections, when a container joins one that would come before; an
  // internal one comes last. Nor does it let out what the file keeps on internal networks.
  front.internal = true;
  return engine_.CreateNetwork(front).status();
}

absl::Status ComposeWorkload::UpdateShared(const StagedRelease& release,
                                           const std::vector<std::string>& services,
                                           const StagedRelease* previous, const CallContext& call) {
  if (services.empty()) return absl::OkStatus();
  const std::string& project = release.spec.compose().project();
  const auto recreate = [&](const StagedRelease& from) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(from.app, from.release));
    SLIPWAY_RETURN_IF_ERROR(RefreshShared(from, cut, services));
    return compose_.Recreate(ProjectFor(from, project, "shared.json"), services, call);
  };
  const absl::Status updated = recreate(release);
  if (updated.ok()) return absl::OkStatus();
  absl::Status restored = absl::NotFoundError("there is none on this host");
  if (previous != nullptr) restored = recreate(*previous);
  return Failure(
      pb::FAILURE_REASON_SHARED_SERVICE,
      absl::StrCat(std::string(updated.message()),
                   restored.ok() ? "; the previous definition runs again"
                                 : "; and the previous definition could not be put back: ",
                   restored.ok() ? "" : std::string(restored.message())));
}

absl::StatusOr<pb::SharedEvidence> ComposeWorkload::EnsureShared(
    const StagedRelease& release, const std::vector<std::string>& update,
    const StagedRelease* previous, const CallContext& call) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  for (const std::string& service : update) {
    if (cut.shared_services.contains(service)) continue;
    return Failure(pb::FAILURE_REASON_SHARED_SERVICE,
                   absl::StrCat(service, " is no shared service; those are ",
                                absl::StrJoin(cut.shared_services, ", ")));
  }
  const std::string& project = release.spec.compose().project();
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers, InspectOwn({{kLabelProject, project}}));
  SLIPWAY_RETURN_IF_ERROR(CheckAddresses(release, cut));
  SLIPWAY_RETURN_IF_ERROR(MakeLastingBinds(release, cut));
  pb::SharedEvidence evidence;
  std::vector<std::string> absent;
  std::vector<std::string> updated;
  for (const std::string& service : cut.shared_services) {
    const auto found =
        std::find_if(containers.begin(), containers.end(), [&](const DockerContainer& container) {
          return container.Label(kLabelService) == service;
        });
    if (found == containers.end()) {
      absent.push_back(service);
      evidence.add_started_services(service);
      continue;
    }
    std::vector<std::string> changes;
    const SharedState state = CompareShared(*found, cut, &changes);
    if (std::find(update.begin(), update.end(), service) != update.end()) {
      if (state != SharedState::kSame) {
        updated.push_back(service);
        evidence.add_updated_services(service);
        continue;
      }
      evidence.add_unchanged_services(service);
    } else if (state == SharedState::kChanged) {
      evidence.add_changed_services(service);
      for (const std::string& change : changes)
        evidence.add_changes(absl::StrCat(service, ": ", change));
    }
    if (found->running()) {
      evidence.add_running_services(service);
    } else {
      SLIPWAY_RETURN_IF_ERROR(engine_.Start(found->id));
      evidence.add_started_services(service);
    }
  }
  SLIPWAY_RETURN_IF_ERROR(UpdateShared(release, updated, previous, call));
  std::vector<std::string> later;
  std::erase_if(absent, [&](const std::string& service) {
    if (cut.after_jobs.contains(service)) later.push_back(service);
    return cut.after_jobs.contains(service);
  });
  SLIPWAY_RETURN_IF_ERROR(StartShared(release, cut, absent, call));
  SLIPWAY_RETURN_IF_ERROR(EnsureResources(release, cut));
  SLIPWAY_RETURN_IF_ERROR(JoinFront(release, cut));
  std::set<std::string> awaited = cut.awaited_healthy;
  for (const std::string& service : later) awaited.erase(service);
  SLIPWAY_RETURN_IF_ERROR(AwaitHealthy(project, awaited, call));
  SLIPWAY_RETURN_IF_ERROR(RunJobs(release, cut, evidence, call));
  if (later.empty()) return evidence;
  SLIPWAY_RETURN_IF_ERROR(StartShared(release, cut, later, call));
  SLIPWAY_RETURN_IF_ERROR(JoinFront(release, cut));
  SLIPWAY_RETURN_IF_ERROR(AwaitHealthy(project, cut.awaited_healthy, call));
  return evidence;
}

absl::Status ComposeWorkload::StartShared(const StagedRelease& release, const CutResult& cut,
                                          const std::vector<std::string>& absent,
                                          const CallContext& call) {
  if (absent.empty()) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(RefreshShared(release, cut, absent));
  const absl::Status started = compose_.Up(
      ProjectFor(release, release.spec.compose().project(), "shared.json"), absent, call);
  if (started.ok()) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_SHARED_SERVICE, started.message(),
                 "when a port is taken by an installation of your own, name its project in "
                 "compose.project to adopt it");
}

// Shared services find the serving slot by name there.
absl::Status ComposeWorkload::JoinFront(const StagedRelease& release, const CutResult& cut) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto now,
                           engine_.List({{kLabelProject, release.spec.compose().project()}}));
  for (const DockerContainer& container : now) {
    if (!cut.shared_services.contains(container.Label(kLabelService))) continue;
    if (container.networks.contains(FrontNetwork(release.app)) ||
        container.networks.contains("host") || container.networks.contains("none"))
      continue;
    SLIPWAY_RETURN_IF_ERROR(engine_.Connect(FrontNetwork(release.app), container.id, {}));
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::AwaitHealthy(const std::string& project,
                                           const std::set<std::string>& services,
                                           const CallContext& call) {
  const DockerLabels labels = {{kLabelProject, project}};
  std::set<std::string> waiting = services;
  const auto look = [&]() -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto containers, engine_.InspectAll(labels));
    waiting = services;
    for (const DockerContainer& container : containers) {
      // Without a health check of its own, running is all that can be known.
      if (container.running() && (container.health == "healthy" || container.health.empty()))
        waiting.erase(container.Label(kLabelService));
    }
    return absl::OkStatus();
  };
  // Most often there is nothing to wait for.
  if (!services.empty()) SLIPWAY_RETURN_IF_ERROR(look());
  if (waiting.empty()) return absl::OkStatus();

  CallStop stop(call);
  absl::Status looked;
  const auto look_again = [&] {
    looked = look();
    return looked.ok() && !waiting.empty();
  };
  const absl::Status heard = engine_.Events(
      labels, 0, &stop.cancellation(),
      [&] {
        if (!look_again()) stop.cancellation().Cancel();
      },
      [&](const DockerEvent& event) {
        const bool news = event.action == "start" || event.action == "die" ||
                          absl::StartsWith(event.action, "health_status");
        return !news || look_again();
      });
  SLIPWAY_RETURN_IF_ERROR(looked);
  if (waiting.empty()) return absl::OkStatus();
  if (call.cancellation != nullptr && call.cancellation->IsCancelled())
    return absl::CancelledError("cancelled");
  if (!stop.cancellation().IsCancelled()) return heard;
  return Failure(pb::FAILURE_REASON_SHARED_SERVICE,
                 absl::StrCat("not healthy in time: ", absl::StrJoin(waiting, ", ")),
                 "look at it with `slipway logs --service SERVICE`");
}

}  // namespace slipway::executor
