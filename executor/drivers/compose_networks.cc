// The networks of an application: which ones its containers join, when they go, and whether the Engine
// has addresses for them.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/compose_workload.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

bool HasSubnetOfItsOwn(const json& network) {
  const json addresses = network["definition"].value("ipam", json::object());
  return addresses.is_object() && !addresses.value("config", json::array()).empty();
}

}  // namespace

bool UsesFrontNetwork(const CutResult& cut) {
  const auto runs = [](const json& project) {
    const auto services = project.find("services");
    return services != project.end() && !services->empty();
  };
  return !cut.shared_services.empty() || runs(cut.workers) || runs(cut.jobs) || runs(cut.hooks);
}

// Before they start, so that the first look-up of a database's name succeeds.
absl::Status ComposeWorkload::JoinNetworks(const std::vector<DockerContainer>& containers,
                                           const StagedRelease& release, const CutResult& cut) {
  const auto& shared = cut.slot_networks;
  // The shared step has made them, or that of an earlier deployment, and somebody's `docker network
  // prune` may have removed them: Docker takes the name of a network that is not there, and says so when
  // the container starts.
  std::set<std::string> absent(shared.begin(), shared.end());
  SLIPWAY_ASSIGN_OR_RETURN(const auto present, engine_.ListNetworks({}));
  for (const DockerNetwork& network : present) absent.erase(network.name);
  if (!absent.empty()) SLIPWAY_RETURN_IF_ERROR(EnsureResources(release, cut));
  for (const DockerContainer& container : containers) {
    for (const std::string& network : shared) {
      SLIPWAY_RETURN_IF_ERROR(engine_.Connect(network, container.id, {}));
    }
    if (!cut.leaves_slot_network) continue;
    for (const auto& [network, aliases] : container.networks) {
      if (std::find(shared.begin(), shared.end(), network) != shared.end()) continue;
      SLIPWAY_RETURN_IF_ERROR(engine_.Disconnect(network, container.id));
    }
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::RemoveNetworks(const std::string& app, pb::Slot slot) {
  // A network that a container of somebody else is on stays: the Engine refuses to remove it.
  SLIPWAY_ASSIGN_OR_RETURN(const auto of_slot,
                           engine_.ListNetworks({{kLabelProject, SlotProject(app, slot)}}));
  for (const DockerNetwork& network : of_slot) engine_.RemoveNetwork(network.id).IgnoreError();
  // After a failed first deployment nothing is left that needs the others. A container that is stopped
  // does: the Engine would remove the network, and could not start the container again.
  SLIPWAY_ASSIGN_OR_RETURN(const auto left, engine_.List({{kLabelApp, app}}));
  if (!left.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const auto others, engine_.ListNetworks({{kLabelApp, app}}));
  for (const DockerNetwork& network : others) engine_.RemoveNetwork(network.id).IgnoreError();
  return absl::OkStatus();
}

absl::Status ComposeWorkload::CheckAddresses(const StagedRelease& release, const CutResult& cut) {
  std::set<std::string> needed;
  for (const json& network : cut.networks) {
    if (!HasSubnetOfItsOwn(network)) needed.insert(network["name"].get<std::string>());
  }
  if (UsesFrontNetwork(cut)) needed.insert(FrontNetwork(release.app));
  const auto of_slot = [&](pb::Slot slot) {
    return absl::StrCat(SlotProject(release.app, slot), "_default");
  };
  if (!cut.leaves_slot_network) needed.insert({of_slot(pb::SLOT_BLUE), of_slot(pb::SLOT_GREEN)});
  SLIPWAY_ASSIGN_OR_RETURN(const auto present, engine_.ListNetworks({}));
  for (const DockerNetwork& network : present) needed.erase(network.name);
  // One slot is filled at a time: where both are absent, one network is enough.
  if (needed.contains(of_slot(pb::SLOT_BLUE))) needed.erase(of_slot(pb::SLOT_GREEN));
  if (needed.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const AddressPieces pieces, engine_.CountAddressPieces());
  if (pieces.free >= needed.size()) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_PREFLIGHT,
                 absl::StrCat("Docker has addresses for ", pieces.free, " more networks, and ",
                              needed.size(), " are needed: ", absl::StrJoin(needed, ", ")),
                 kMoreAddresses);
}

}  // namespace slipway::executor
