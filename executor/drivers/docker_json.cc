#include "executor/drivers/docker_json.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace slipway::executor {
namespace {

std::vector<std::string> ListAt(const DockerJson& json, const char* key) {
  std::vector<std::string> strings;
  for (const DockerJson& item : MemberAt(json, key)) {
    if (item.is_string()) strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::vector<std::string> BindsIn(const DockerJson& json) {
  std::vector<std::string> sources;
  for (const DockerJson& mount : MemberAt(json, "Mounts")) {
    if (StringAt(mount, "Type") == "bind") sources.push_back(StringAt(mount, "Source"));
  }
  return sources;
}

std::string WithoutSlash(std::string name) {
  if (absl::StartsWith(name, "/")) name.erase(0, 1);
  return name;
}

}  // namespace

absl::StatusOr<DockerJson> ParseDockerJson(absl::string_view text) {
  DockerJson json = DockerJson::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) return absl::InternalError("Docker answered something that is not JSON");
  return json;
}

const DockerJson& MemberAt(const DockerJson& json, const char* key) {
  static const auto* const null = new DockerJson;
  if (!json.is_object()) return *null;
  const auto found = json.find(key);
  return found == json.end() ? *null : *found;
}

std::string StringAt(const DockerJson& json, const char* key) {
  const DockerJson& member = MemberAt(json, key);
  return member.is_string() ? member.get<std::string>() : "";
}

int64_t IntAt(const DockerJson& json, const char* key) {
  const DockerJson& member = MemberAt(json, key);
  return member.is_number() ? member.get<int64_t>() : 0;
}

bool BoolAt(const DockerJson& json, const char* key) {
  const DockerJson& member = MemberAt(json, key);
  return member.is_boolean() && member.get<bool>();
}

std::map<std::string, std::string> StringsAt(const DockerJson& json, const char* key) {
  std::map<std::string, std::string> strings;
  const DockerJson& member = MemberAt(json, key);
  if (!member.is_object()) return strings;
  for (const auto& [name, value] : member.items()) {
    if (value.is_string()) strings[name] = value.get<std::string>();
  }
  return strings;
}

DockerContainer ContainerFromInspect(const DockerJson& json) {
  DockerContainer container;
  const DockerJson& state = MemberAt(json, "State");
  const DockerJson& config = MemberAt(json, "Config");
  const DockerJson& network = MemberAt(json, "NetworkSettings");
  container.id = StringAt(json, "Id");
  container.name = WithoutSlash(StringAt(json, "Name"));
  container.state = StringAt(state, "Status");
  container.health = StringAt(MemberAt(state, "Health"), "Status");
  if (container.health == "none") container.health.clear();
  container.exit_code = static_cast<int>(IntAt(state, "ExitCode"));
  container.out_of_memory = BoolAt(state, "OOMKilled");
  container.pid = static_cast<int>(IntAt(state, "Pid"));
  container.started_at = StringAt(state, "StartedAt");
  container.restart_count = static_cast<int>(IntAt(json, "RestartCount"));
  container.tty = BoolAt(config, "Tty");
  container.image = StringAt(config, "Image");
  container.image_id = StringAt(json, "Image");
  container.labels = StringsAt(config, "Labels");
  container.binds = BindsIn(json);
  if (MemberAt(config, "StopTimeout").is_number())
    container.stop_timeout = std::chrono::seconds(IntAt(config, "StopTimeout"));
  const DockerJson& ports = MemberAt(network, "Ports");
  for (const auto& [container_port, bindings] : ports.items()) {
    for (const DockerJson& binding : bindings) {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(StringAt(binding, "HostPort"), &port)) continue;
      container.ports.push_back({container_port, StringAt(binding, "HostIp"), port});
    }
  }
  for (const auto& [name, attachment] : MemberAt(network, "Networks").items()) {
    container.networks[name] = ListAt(attachment, "Aliases");
  }
  return container;
}

DockerContainer ContainerFromList(const DockerJson& json) {
  DockerContainer container;
  container.id = StringAt(json, "Id");
  const std::vector<std::string> names = ListAt(json, "Names");
  if (!names.empty()) container.name = WithoutSlash(names.front());
  container.state = StringAt(json, "State");
  container.image = StringAt(json, "Image");
  container.image_id = StringAt(json, "ImageID");
  container.labels = StringsAt(json, "Labels");
  container.binds = BindsIn(json);
  for (const DockerJson& port : MemberAt(json, "Ports")) {
    if (IntAt(port, "PublicPort") == 0) continue;
    container.ports.push_back(
        {absl::StrCat(IntAt(port, "PrivatePort"), "/", StringAt(port, "Type")),
         StringAt(port, "IP"), static_cast<uint32_t>(IntAt(port, "PublicPort"))});
  }
  const DockerJson& networks = MemberAt(MemberAt(json, "NetworkSettings"), "Networks");
  for (const auto& [name, attachment] : networks.items()) container.networks[name] = {};
  return container;
}

DockerImage ImageFromJson(const DockerJson& json) {
  DockerImage image;
  image.id = StringAt(json, "Id");
  image.tags = ListAt(json, "RepoTags");
  image.labels = StringsAt(json, "Labels");
  if (image.labels.empty()) image.labels = StringsAt(MemberAt(json, "Config"), "Labels");
  for (const auto& [path, nothing] : MemberAt(MemberAt(json, "Config"), "Volumes").items())
    image.volumes.push_back(path);
  image.bytes = static_cast<uint64_t>(IntAt(json, "Size"));
  return image;
}

DockerEvent EventFromJson(const DockerJson& json) {
  DockerEvent event;
  event.type = StringAt(json, "Type");
  event.action = StringAt(json, "Action");
  event.id = StringAt(MemberAt(json, "Actor"), "ID");
  event.attributes = StringsAt(MemberAt(json, "Actor"), "Attributes");
  return event;
}

std::string DumpDockerJson(const DockerJson& json) {
  return json.dump(-1, ' ', false, DockerJson::error_handler_t::replace);
}

DockerJson LabelFilter(const DockerLabels& labels) {
  DockerJson list = DockerJson::array();
  for (const auto& [key, value] : labels) {
    list.push_back(value.empty() ? key : absl::StrCat(key, "=", value));
  }
  return DockerJson{{"label", std::move(list)}};
}

}  // namespace slipway::executor
