// Which container the services' names lead to: the slot that serves, or what was taken over.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

// Under which names the service is known, its own first.
std::vector<std::string> NamesOf(const CutResult& cut, const std::string& service) {
  std::vector<std::string> names = {service};
  const auto aliases = cut.aliases.find(service);
  if (aliases != cut.aliases.end())
    names.insert(names.end(), aliases->second.begin(), aliases->second.end());
  return names;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool HasAny(const std::vector<std::string>& aliases, const std::vector<std::string>& names) {
  return std::any_of(aliases.begin(), aliases.end(),
                     [&](const std::string& alias) { return Contains(names, alias); });
}

}  // namespace

absl::Status ComposeWorkload::LeaveFront(const std::string& app, pb::Slot slot) {
  const std::string front = FrontNetwork(app);
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers,
                           ListOwn({{kLabelProject, SlotProject(app, slot)}}));
  for (const DockerContainer& container : containers) {
    if (container.networks.contains(front))
      SLIPWAY_RETURN_IF_ERROR(engine_.Disconnect(front, container.id));
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::AnswerToNames(const StagedRelease& release, pb::Slot slot) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  if (!UsesFrontNetwork(cut)) return absl::OkStatus();
  const std::string front = FrontNetwork(release.app);
  SLIPWAY_ASSIGN_OR_RETURN(const auto serving,
                           ListOwn({{kLabelProject, SlotProject(release.app, slot)}}));
  for (const DockerContainer& container : serving) {
    if (container.networks.contains(front)) continue;
    SLIPWAY_RETURN_IF_ERROR(
        engine_.Connect(front, container.id, NamesOf(cut, container.Label(kLabelService))));
  }
  SLIPWAY_RETURN_IF_ERROR(LeaveFront(release.app, OtherSlot(slot)));
  // What was taken over is there when it was gone back to.
  SLIPWAY_ASSIGN_OR_RETURN(const auto installed,
                           engine_.List({{kLabelProject, release.spec.compose().project()}}));
  for (const DockerContainer& container : installed) {
    const bool slotted = cut.blue["services"].contains(container.Label(kLabelService));
    if (slotted && container.networks.contains(front))
      SLIPWAY_RETURN_IF_ERROR(engine_.Disconnect(front, container.id));
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::AdoptedAnswers(const StagedRelease& release,
                                             const std::string& container, pb::Slot slot) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  if (!UsesFrontNetwork(cut)) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const DockerContainer adopted, engine_.Inspect(container));
  const std::vector<std::string> names = NamesOf(cut, adopted.Label(kLabelService));
  // Before it was warm it still has its names where it always had them.
  const bool known =
      std::any_of(adopted.networks.begin(), adopted.networks.end(),
                  [&](const auto& network) { return HasAny(network.second, names); });
  if (!known) SLIPWAY_RETURN_IF_ERROR(engine_.Connect(FrontNetwork(release.app), container, names));
  return LeaveFront(release.app, OtherSlot(slot));
}

absl::Status ComposeWorkload::AdoptedLeavesNames(const StagedRelease& release,
                                                 const std::string& container) {
  SLIPWAY_ASSIGN_OR_RETURN(const CutResult cut, LoadCut(release.app, release.release));
  if (!UsesFrontNetwork(cut)) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const DockerContainer adopted, engine_.Inspect(container));
  const std::vector<std::string> names = NamesOf(cut, adopted.Label(kLabelService));
  for (const auto& [network, aliases] : adopted.networks) {
    if (!HasAny(aliases, names)) continue;
    // Docker takes no name away from a connection that stands.
    std::vector<std::string> kept;
    for (const std::string& alias : aliases) {
      if (!Contains(names, alias) && !absl::StartsWith(adopted.id, alias)) kept.push_back(alias);
    }
    SLIPWAY_RETURN_IF_ERROR(engine_.Disconnect(network, container));
    if (network == FrontNetwork(release.app)) continue;
    const absl::Status connected = engine_.Connect(network, container, kept);
    if (connected.ok()) continue;
    return Annotate(connected, absl::StrCat("the version that was taken over (container ",
                                            adopted.name, ") lost its network ", network));
  }
  return absl::OkStatus();
}

}  // namespace slipway::executor
