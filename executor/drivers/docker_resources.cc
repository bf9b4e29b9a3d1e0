// The Engine's images, networks and volumes.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/docker_engine.h"
#include "executor/drivers/docker_json.h"
#include "executor/drivers/http_client.h"

namespace slipway::executor {
namespace {

// Labels are matched here: the Engine's label filter for images and networks wants a query text,
// and the lists are short.
bool HasLabels(const std::map<std::string, std::string>& has, const DockerLabels& wanted) {
  for (const auto& [key, value] : wanted) {
    const auto found = has.find(key);
    if (found == has.end() || (!value.empty() && found->second != value)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<DockerImage> DockerEngine::InspectImage(const std::string& image) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(image));
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response,
                           Send("GET", absl::StrCat("/images/", part, "/json")));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  return ImageFromJson(json);
}

absl::StatusOr<bool> DockerEngine::ImageExists(const std::string& image) {
  const absl::Status status = InspectImage(image).status();
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) return status;
  return true;
}

absl::StatusOr<std::vector<DockerImage>> DockerEngine::ListImages(const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send("GET", "/images/json"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  std::vector<DockerImage> images;
  for (const DockerJson& item : json) {
    DockerImage image = ImageFromJson(item);
    if (HasLabels(image.labels, labels)) images.push_back(std::move(image));
  }
  return images;
}

absl::Status DockerEngine::RemoveImage(const std::string& image) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(image));
  const absl::Status status = Send("DELETE", absl::StrCat("/images/", part)).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::vector<DockerNetwork>> DockerEngine::ListNetworks(const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send("GET", "/networks"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  std::vector<DockerNetwork> networks;
  for (const DockerJson& item : json) {
    DockerNetwork network{StringAt(item, "Id"), StringAt(item, "Name"), StringsAt(item, "Labels")};
    if (HasLabels(network.labels, labels)) networks.push_back(std::move(network));
  }
  return networks;
}

absl::StatusOr<std::string> DockerEngine::CreateNetwork(const DockerNetworkSpec& spec) {
  DockerJson body{{"Name", spec.name},         {"CheckDuplicate", true},
                  {"Labels", spec.labels},     {"Options", spec.options},
                  {"Internal", spec.internal}, {"Attachable", spec.attachable},
                  {"EnableIPv6", spec.ipv6}};
  if (!spec.driver.empty()) body["Driver"] = spec.driver;
  DockerJson addresses{{"Options", spec.address_options}, {"Config", DockerJson::array()}};
  if (!spec.address_driver.empty()) addresses["Driver"] = spec.address_driver;
  for (const DockerSubnet& subnet : spec.subnets) {
    DockerJson entry{{"AuxiliaryAddresses", subnet.reserved}};
    if (!subnet.subnet.empty()) entry["Subnet"] = subnet.subnet;
    if (!subnet.range.empty()) entry["IPRange"] = subnet.range;
    if (!subnet.gateway.empty()) entry["Gateway"] = subnet.gateway;
    addresses["Config"].push_back(std::move(entry));
  }
  body["IPAM"] = std::move(addresses);
  const absl::StatusOr<HttpResponse> response =
      Send("POST", "/networks/create", DumpDockerJson(body));
  if (absl::IsAlreadyExists(response.status())) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerNetwork> networks, ListNetworks({}));
    for (const DockerNetwork& network : networks) {
      if (network.name == spec.name) return network.id;
    }
  }
  if (!response.ok()) return response.status();
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response->body));
  return StringAt(json, "Id");
}

absl::StatusOr<std::vector<DockerVolume>> DockerEngine::ListVolumes() {
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send("GET", "/volumes"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  std::vector<DockerVolume> volumes;
  const auto found = json.find("Volumes");
  if (found == json.end() || !found->is_array()) return volumes;
  for (const DockerJson& item : *found) {
    volumes.push_back({StringAt(item, "Name"), StringsAt(item, "Labels")});
  }
  return volumes;
}

absl::Status DockerEngine::CreateVolume(const std::string& name, const std::string& driver,
                                        const std::map<std::string, std::string>& options,
                                        const DockerLabels& labels) {
  const DockerJson body{
      {"Name", name}, {"Driver", driver}, {"DriverOpts", options}, {"Labels", labels}};
  return Send("POST", "/volumes/create", DumpDockerJson(body)).status();
}

absl::Status DockerEngine::Connect(const std::string& network, const std::string& container,
                                   const std::vector<std::string>& aliases) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(network));
  const DockerJson body{{"Container", container}, {"EndpointConfig", {{"Aliases", aliases}}}};
  const absl::Status status =
      Send("POST", absl::StrCat("/networks/", part, "/connect"), DumpDockerJson(body)).status();
  // 403, with this text, is how the Engine says it.
  return absl::StrContains(status.message(), "already exists in network") ? absl::OkStatus()
                                                                          : status;
}

absl::Status DockerEngine::Disconnect(const std::string& network, const std::string& container) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(network));
  const DockerJson body{{"Container", container}, {"Force", true}};
  const absl::Status status =
      Send("POST", absl::StrCat("/networks/", part, "/disconnect"), DumpDockerJson(body)).status();
  if (absl::IsNotFound(status) || absl::StrContains(status.message(), "is not connected")) {
    return absl::OkStatus();
  }
  return status;
}

absl::Status DockerEngine::RemoveNetwork(const std::string& network) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(network));
  const absl::Status status = Send("DELETE", absl::StrCat("/networks/", part)).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<AddressPieces> DockerEngine::CountAddressPieces() {
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse info, Send("GET", "/info"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson configuration, ParseDockerJson(info.body));
  std::vector<AddressPool> pools;
  for (const DockerJson& pool : MemberAt(configuration, "DefaultAddressPools")) {
    const auto base = ParseSubnet(StringAt(pool, "Base"));
    if (base) pools.push_back({*base, static_cast<int>(IntAt(pool, "Size"))});
  }
  if (pools.empty()) pools = DefaultAddressPools();
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse networks, Send("GET", "/networks"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson list, ParseDockerJson(networks.body));
  std::vector<Subnet> taken = RoutedSubnets(ReadFile("/proc/net/route").value_or(""));
  for (const DockerJson& network : list) {
    for (const DockerJson& part : MemberAt(MemberAt(network, "IPAM"), "Config")) {
      const auto subnet = ParseSubnet(StringAt(part, "Subnet"));
      if (subnet) taken.push_back(*subnet);
    }
  }
  return CountPieces(pools, taken);
}

}  // namespace slipway::executor
