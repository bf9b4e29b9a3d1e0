#include "executor/drivers/compose_installation.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "executor/drivers/compose_binds.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_port.h"
#include "executor/failure.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

std::string LabelOf(const std::map<std::string, std::string>& labels, const char* key) {
  const auto found = labels.find(key);
  return found == labels.end() ? "" : found->second;
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool IsIn(const std::string& name, const google::protobuf::RepeatedPtrField<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What there is of one compose project.
struct Project {
  std::vector<const DockerContainer*> containers;
  // By compose's names.
  std::map<std::string, std::string> volumes;

  std::set<std::string> Services() const {
    std::set<std::string> services;
    for (const DockerContainer* container : containers)
      services.insert(container->Label(kLabelService));
    return services;
  }
};

class Search {
 public:
  Search(const InstallationQuery& query, const DockerResources& host)
      : query_(query), host_(host), services_(query.document["services"]) {}

  std::vector<OtherInstallation> Find() {
    std::vector<OtherInstallation> found;
    const std::set<std::string> absent = AbsentVolumes();
    if (absent.empty()) return found;
    for (const auto& [name, project] : ProjectsOfHost()) {
      if (name == query_.spec.compose().project()) continue;
      OtherInstallation other;
      for (const auto& [key, volume] : project.volumes) {
        if (absent.contains(key)) other.volumes[key] = volume;
      }
      if (other.volumes.empty() || BelongsToAnother(project) || !IsOfThisFile(name, project))
        continue;
      other.project = name;
      other.services = project.Services();
      if (!project.containers.empty())
        other.directory = project.containers.front()->Label(kLabelWorkingDirectory);
      found.push_back(std::move(other));
    }
    return found;
  }

 private:
  // The file's volumes that have the project in their name.
  std::set<std::string> OwnVolumes() const {
    std::set<std::string> keys;
    const std::string& project = query_.spec.compose().project();
    const auto volumes = query_.document.find("volumes");
    if (volumes == query_.document.end() || !volumes->is_object()) return keys;
    for (const auto& item : volumes->items()) {
      if (!IsExternal(item.value()) && RealName(query_.document, "volumes", item.key(), project) ==
                                           absl::StrCat(project, "_", item.key()))
        keys.insert(item.key());
    }
    return keys;
  }

  std::set<std::string> AbsentVolumes() const {
    std::set<std::string> absent = OwnVolumes();
    for (const DockerVolume& volume : host_.volumes) {
      for (const std::string& key : OwnVolumes()) {
        if (volume.name == absl::StrCat(query_.spec.compose().project(), "_", key))
          absent.erase(key);
      }
    }
    return absent;
  }

  std::map<std::string, Project> ProjectsOfHost() const {
    std::map<std::string, Project> projects;
    for (const DockerContainer& container : host_.containers) {
      const std::string name = container.Label(kLabelProject);
      if (!name.empty()) projects[name].containers.push_back(&container);
    }
    for (const DockerVolume& volume : host_.volumes) {
      const std::string name = LabelOf(volume.labels, kLabelProject);
      const std::string key = LabelOf(volume.labels, kLabelVolume);
      if (!name.empty() && !key.empty()) projects[name].volumes[key] = volume.name;
    }
    return projects;
  }

  // Containers that another application made, or that stand on its front network since it took them over.
  bool BelongsToAnother(const Project& project) const {
    const std::string& app = query_.spec.app();
    return std::any_of(
        project.containers.begin(), project.containers.end(), [&](const DockerContainer* one) {
          const std::string owner = one->Label(kLabelApp);
          if (!owner.empty()) return owner != app;
          return std::any_of(
              host_.networks.begin(), host_.networks.end(), [&](const DockerNetwork& network) {
                const std::string whose = LabelOf(network.labels, kLabelApp);
                return !whose.empty() && whose != app && one->networks.contains(network.name);
              });
        });
  }

  bool IsOfThisFile(const std::string& name, const Project& project) const {
    if (query_.named.contains(name)) return true;
    // One volume alone says little: many applications have one named `data`.
    if (project.containers.empty()) return OwnVolumes().size() > 1 && HasOurVolumes(project);
    const std::set<std::string> services = project.Services();
    const bool all_known =
        std::all_of(services.begin(), services.end(),
                    [&](const std::string& service) { return services_.contains(service); });
    if (!all_known) return false;
    return std::any_of(project.containers.begin(), project.containers.end(),
                       [&](const DockerContainer* one) { return IsOurs(*one); }) ||
           IsWhole(services, project);
  }

  // It is this application's, or publishes a port that the same service publishes here: both could not run.
  bool IsOurs(const DockerContainer& container) const {
    if (container.Label(kLabelApp) == query_.spec.app()) return true;
    const std::string service = container.Label(kLabelService);
    std::set<uint32_t> ports;
    if (IsIn(service, query_.spec.compose().slotted()))
      ports = {query_.spec.slots().blue(), query_.spec.slots().green()};
    const auto found = services_[service].find("ports");
    for (const json& entry : found == services_[service].end() ? json::array() : *found) {
      if (const auto port = ParseComposePort(entry)) ports.insert(port->published);
    }
    ports.erase(0);
    return std::any_of(container.ports.begin(), container.ports.end(),
                       [&](const DockerPort& port) { return ports.contains(port.host_port); });
  }

  // It has every service of the file that keeps running, and those that are not built run its images.
  bool IsWhole(const std::set<std::string>& services, const Project& project) const {
    for (const auto& item : services_.items()) {
      const std::string restart = Text(item.value(), "restart");
      const bool once = restart.empty() || restart == "no";
      if (!services.contains(item.key()) && !once) return false;
    }
    for (const DockerContainer* container : project.containers) {
      const json& service = services_[container->Label(kLabelService)];
      if (!service.contains("build") && Text(service, "image") != container->image) return false;
    }
    return HasOurVolumes(project);
  }

  bool HasOurVolumes(const Project& project) const {
    std::set<std::string> keys;
    for (const auto& [key, volume] : project.volumes) keys.insert(key);
    return keys == OwnVolumes();
  }

  const InstallationQuery& query_;
  const DockerResources& host_;
  const json& services_;
};

std::string Describe(const OtherInstallation& other, const std::string& project) {
  std::vector<std::string> volumes;
  for (const auto& [key, volume] : other.volumes) {
    volumes.push_back(absl::StrCat(project, "_", key, " would be new and empty beside ", volume));
  }
  const std::string from =
      other.directory.empty() ? "" : absl::StrCat(", started from ", other.directory);
  return absl::StrCat(
      "an installation of this compose file is on the host as project ", other.project,
      other.services.empty() ? ", of which only volumes are left"
                             : absl::StrCat(" (", absl::StrJoin(other.services, ", "), from, ")"),
      ", and compose.project is ", project, ": ", absl::StrJoin(volumes, ", "));
}

}  // namespace

std::vector<OtherInstallation> FindOtherInstallations(const InstallationQuery& query,
                                                      const DockerResources& host) {
  return Search(query, host).Find();
}

absl::Status CheckOtherInstallations(const InstallationQuery& query, const DockerResources& host,
                                     const std::vector<std::string>& allowances) {
  for (const OtherInstallation& other : FindOtherInstallations(query, host)) {
    const std::string allowance = absl::StrCat("*:beside:", other.project);
    const bool allowed =
        std::any_of(allowances.begin(), allowances.end(),
                    [&](const std::string& one) { return one == allowance || one == "*:beside"; });
    if (allowed) continue;
    return Failure(
        pb::FAILURE_REASON_PREFLIGHT, Describe(other, query.spec.compose().project()),
        absl::StrCat("to take it over, write `project: ", other.project,
                     "` under `compose:` in slipway.yaml; to begin with empty volumes beside it, "
                     "let an operator say `slipway allow ",
                     query.spec.app(), " --add '", allowance, "'`"));
  }
  return absl::OkStatus();
}

void FindResourcesOfOthers(const json& document, const std::string& project,
                           const DockerResources& host, ComposeFindings& findings) {
  std::map<std::string, std::string> volumes;
  for (const DockerVolume& volume : host.volumes)
    volumes[volume.name] = LabelOf(volume.labels, kLabelProject);
  std::map<std::string, std::string> networks;
  for (const DockerNetwork& network : host.networks)
    networks[network.name] = LabelOf(network.labels, kLabelProject);
  const auto check = [&](const char* section, const char* key, const auto& owners) {
    const auto entries = document.find(section);
    if (entries == document.end() || !entries->is_object()) return;
    for (const auto& item : entries->items()) {
      const std::string name = RealName(document, section, item.key(), project);
      const auto owner = owners.find(name);
      // Other names are judged by the policy, whoever has made what is there.
      const bool named_ours = absl::StartsWith(name, absl::StrCat(project, "_"));
      if (!named_ours || owner == owners.end() || owner->second.empty() || owner->second == project)
        continue;
      findings.Add("*", key, name,
                   absl::StrCat(section, ".", item.key(), ": ", name, ", which is project ",
                                owner->second, "'s"));
    }
  };
  check("volumes", "volume", volumes);
  check("networks", "network", networks);
}

}  // namespace slipway::executor
