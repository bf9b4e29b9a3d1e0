#include "executor/drivers/compose_policy.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "executor/drivers/compose_binds.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_findings.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Those that Docker gives every container, and that of a low port. Any other reaches beyond the container.
constexpr char kHarmlessCapabilities[] =
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP "
    "SETGID SETPCAP SETUID SYS_CHROOT";
// Namespaces that are the container's or its project's.
constexpr char kOwnNamespaces[] = "bridge default none private shareable";
// What a service may say: what stays within its container, and what is judged below. Compose learns new keys, and some of them
// open the host (`use_api_socket` mounts Docker's socket, `provider` runs a program); what is not known here is refused.
constexpr char kKnownServiceKeys[] =
    "attach blkio_config build cap_add cap_drop cgroup cgroup_parent command "
    "configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period "
    "cpu_rt_runtime cpu_shares cpus cpuset depends_on deploy develop device_cgroup_rules "
    "devices dns dns_opt dns_search domainname entrypoint env_file environment expose "
    "extra_hosts group_add healthcheck hostname image init ipc labels links logging "
    "mac_address mem_limit mem_reservation mem_swappiness memswap_limit network_mode networks "
    "oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop "
    "privileged profiles pull_policy read_only restart scale secrets security_opt shm_size "
    "stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits user "
    "userns_mode uts volumes volumes_from working_dir";
constexpr char kKnownBuildKeys[] =
    "additional_contexts args cache_from cache_to context dockerfile dockerfile_inline "
    "extra_hosts isolation labels network no_cache platforms privileged provenance pull sbom "
    "secrets shm_size tags target ulimits";

bool IsAmong(absl::string_view word, absl::string_view words) {
  const std::vector<absl::string_view> all = absl::StrSplit(words, ' ');
  return std::find(all.begin(), all.end(), word) != all.end();
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_boolean() && found->get<bool>() ? "true" : "";
}

json ListOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

// Keys beginning with `x-` mean nothing to compose.
void CheckKeys(const json& section, absl::string_view known, const std::string& service,
               absl::string_view prefix, const std::string& where, ComposeFindings& findings) {
  for (const auto& item : section.items()) {
    if (IsAmong(item.key(), known) || absl::StartsWith(item.key(), "x-") || item.value().is_null())
      continue;
    findings.Add(service, absl::StrCat(prefix, item.key()), "", absl::StrCat(where, item.key()));
  }
}

void CheckBind(const std::string& service, const std::string& source, const fs::path& folder,
               ComposeFindings& findings) {
  if (!absl::StartsWith(source, "/") || IsInside(source, folder)) return;
  findings.Add(service, "bind", fs::path(source).lexically_normal().string(),
               absl::StrCat("services.", service, ".volumes: ", source));
}

// `rshared` and the like, by which mounts made in the container would appear on the host.
std::string PropagationOf(const json& volume) {
  if (volume.is_object()) {
    const auto bind = volume.find("bind");
    return bind != volume.end() && bind->is_object() ? Text(*bind, "propagation") : "";
  }
  const std::vector<std::string> parts =
      absl::StrSplit(volume.is_string() ? volume.get<std::string>() : "", ':');
  return parts.size() > 2 ? parts[2] : "";
}

// Files and sockets of the host that a log driver would open for the container.
void CheckLogging(const std::string& service, const json& definition, ComposeFindings& findings) {
  const auto logging = definition.find("logging");
  if (logging == definition.end() || !logging->is_object()) return;
  const json options = logging->value("options", json::object());
  if (!options.is_object()) return;
  for (const auto& option : options.items()) {
    const std::string value = Text(options, option.key().c_str());
    if (!absl::StartsWith(value, "/") && !absl::StrContains(value, "unix")) continue;
    findings.Add(
        service, "logging", value,
        absl::StrCat("services.", service, ".logging.options.", option.key(), ": ", value));
  }
}

void CheckMounts(const std::string& service, const json& definition, const fs::path& folder,
                 ComposeFindings& findings) {
  for (const json& volume : ListOf(definition, "volumes")) {
    const auto mount = ParseComposeMount(volume);
    if (mount && mount->bind) CheckBind(service, mount->source, folder, findings);
    const std::string type = volume.is_object() ? Text(volume, "type") : "";
    if (!mount && type != "tmpfs" && !volume.is_null()) {
      findings.Add(service, "mount", type, absl::StrCat("services.", service, ".volumes: ", type));
    }
    const std::string propagation = PropagationOf(volume);
    if (absl::StrContains(propagation, "shared")) {
      findings.Add(service, "bind_propagation", propagation,
                   absl::StrCat("services.", service, ".volumes: ", propagation));
    }
  }
  for (const char* key : {"devices", "device_cgroup_rules"}) {
    for (const json& device : ListOf(definition, key)) {
      const std::string whole = device.is_object()   ? Text(device, "source")
                                : device.is_string() ? device.get<std::string>()
                                                     : "";
      const std::string name =
          std::string(key) == "devices" ? whole.substr(0, whole.find(':')) : whole;
      findings.Add(service, key, name, absl::StrCat("services.", service, ".", key, ": ", name));
    }
  }
  // Devices by another way.
  json reserved = definition;
  for (const char* key : {"deploy", "resources", "reservations", "devices"}) {
    const json inner = reserved.is_object() ? reserved.value(key, json()) : json();
    reserved = inner;
  }
  if (!reserved.empty()) {
    findings.Add(service, "gpus", "",
                 absl::StrCat("services.", service, ".deploy.resources.reservations.devices"));
  }
}

void CheckPrivileges(const std::string& service, const json& definition,
                     ComposeFindings& findings) {
  const auto where = [&service](absl::string_view key, absl::string_view value) {
    return absl::StrCat("services.", service, ".", key, ": ", value);
  };
  if (Text(definition, "privileged") == "true") {
    findings.Add(service, "privileged", "", where("privileged", "true"));
  }
  for (const char* key : {"post_start", "pre_stop"}) {
    for (const json& hook : ListOf(definition, key)) {
      if (!hook.is_object() || Text(hook, "privileged") != "true") continue;
      findings.Add(service, key, "privileged", where(key, "privileged: true"));
    }
  }
  for (const char* key :
       {"network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup", "cgroup_parent"}) {
    // The host's, another container's, another project's network.
    const std::string value = Text(definition, key);
    const bool own = value.empty() || absl::StartsWith(value, "service:") ||
                     (std::string(key) != "cgroup_parent" && IsAmong(value, kOwnNamespaces));
    if (!own) findings.Add(service, key, value, where(key, value));
  }
  for (const json& one : ListOf(definition, "cap_add")) {
    std::string name = one.is_string() ? absl::AsciiStrToUpper(one.get<std::string>()) : "";
    if (absl::StartsWith(name, "CAP_")) name = name.substr(4);
    if (IsAmong(name, kHarmlessCapabilities)) continue;
    findings.Add(service, "cap_add", name, where("cap_add", name));
  }
  for (const json& one : ListOf(definition, "security_opt")) {
    const std::string option = one.is_string() ? one.get<std::string>() : "";
    if (absl::StartsWith(option, "no-new-privileges")) continue;
    findings.Add(service, "security_opt", option, where("security_opt", option));
  }
  // Those of the kernel that a container has its own of; Docker would refuse others when it starts.
  const auto sysctls = definition.find("sysctls");
  if (sysctls != definition.end() && sysctls->is_structured()) {
    for (const auto& item : sysctls->items()) {
      const std::string text = sysctls->is_array() && item.value().is_string()
                                   ? item.value().get<std::string>()
                                   : item.key();
      const std::string name = text.substr(0, text.find('='));
      const bool own = absl::StartsWith(name, "net.") || absl::StartsWith(name, "fs.mqueue.") ||
                       absl::StartsWith(name, "kernel.msg") || name == "kernel.sem" ||
                       absl::StartsWith(name, "kernel.shm");
      if (!own) findings.Add(service, "sysctls", name, where("sysctls", name));
    }
  }
  for (const json& one : ListOf(definition, "volumes_from")) {
    const std::string source = one.is_string() ? one.get<std::string>() : "";
    if (!absl::StartsWith(source, "container:")) continue;
    findings.Add(service, "volumes_from", source, where("volumes_from", source));
  }
}

// `additional_contexts` as a map or as a list of NAME=VALUE.
std::vector<std::string> ContextsOf(const json& build) {
  std::vector<std::string> targets;
  const auto found = build.find("additional_contexts");
  if (found == build.end()) return targets;
  for (const json& one : *found) {
    const std::string text = one.is_string() ? one.get<std::string>() : "";
    targets.push_back(found->is_array() ? text.substr(text.find('=') + 1) : text);
  }
  return targets;
}

void CheckBuild(const std::string& service, const json& definition, const fs::path& folder,
                ComposeFindings& findings) {
  const auto found = definition.find("build");
  if (found == definition.end() || found->is_null()) return;
  const json build = found->is_object() ? *found : json{{"context", *found}};
  const std::string prefix = absl::StrCat("services.", service, ".build.");
  const auto add = [&](const std::string& key, const std::string& value) {
    findings.Add(service, absl::StrCat("build_", key), value,
                 absl::StrCat(prefix, key, ": ", value));
  };
  CheckKeys(build, kKnownBuildKeys, service, "build_", prefix, findings);
  const std::string context = Text(build, "context");
  if (!context.empty() && (IsRemote(context) || !IsInside(folder / context, folder))) {
    add("context", context);
  }
  // It is built from a copy of its context, so that is what the Dockerfile must be in.
  const fs::path root = folder / context;
  if (const std::string file = Text(build, "dockerfile"); !IsInside(root / file, root)) {
    add("dockerfile", file);
  }
  for (const std::string& target : ContextsOf(build)) {
    const bool image = absl::StartsWith(target, "docker-image://");
    const bool sibling = absl::StartsWith(target, "service:");
    if (image || sibling || (!IsRemote(target) && IsInside(folder / target, folder))) continue;
    add("additional_contexts", target);
  }
  // Caches in folders of the host, or at services that take the executor's credentials.
  for (const char* key : {"cache_from", "cache_to"}) {
    for (const json& one : ListOf(build, key)) {
      const std::string cache = one.is_string() ? one.get<std::string>() : "";
      if (absl::StrContains(cache, "type=") && !absl::StrContains(cache, "type=registry"))
        add(key, cache);
    }
  }
  // Names of images that others may be waiting for.
  for (const json& one : ListOf(build, "tags")) {
    add("tags", one.is_string() ? one.get<std::string>() : "");
  }
  const std::string network = Text(build, "network");
  if (!network.empty() && !IsAmong(network, "bridge default none")) add("network", network);
  if (Text(build, "privileged") == "true") {
    findings.Add(service, "build_privileged", "", absl::StrCat(prefix, "privileged: true"));
  }
}

// What the local volume driver mounts is the host's, but for memory, other machines' exports and the release itself.
bool IsHostMount(const json& options, const fs::path& folder) {
  const std::string type = Text(options, "type");
  const std::string how = Text(options, "o");
  const std::string device = Text(options, "device");
  if (type.empty() && how.empty() && device.empty()) return false;
  if (absl::StrContains(how, "bind") || type == "none") {
    return !(type.empty() || type == "none") || !IsInside(device, folder);
  }
  const bool remote = (type == "nfs" || type == "nfs4") && !absl::StartsWith(device, "/");
  return type != "tmpfs" && !remote;
}

// Volumes that are binds in disguise or another project's, files that are read into containers, networks of the host's or of
// other projects.
class ResourceCheck {
 public:
  ResourceCheck(const json& document, const std::string& project, const fs::path& folder,
                ComposeFindings& findings)
      : document_(document), project_(project), folder_(folder), findings_(findings) {}

  void Volumes() {
    Each("volumes", [this](const std::string& key, const json& volume) {
      const std::string volume_driver = Text(volume, "driver");
      if (!volume_driver.empty() && volume_driver != "local") {
        findings_.Add("*", "volume_driver", volume_driver,
                      absl::StrCat("volumes.", key, ".driver: ", volume_driver));
      }
      const json options = volume.value("driver_opts", json::object());
      if (options.is_object() && IsHostMount(options, folder_)) {
        const std::string device = Text(options, "device");
        const std::string what = absl::StartsWith(device, "/") ? device : Text(options, "type");
        findings_.Add("*", "volume_bind", what,
                      absl::StrCat("volumes.", key, ".driver_opts: ", what));
      }
      CheckOwner("volumes", "volume", key);
    });
  }

  void Networks() {
    Each("networks", [this](const std::string& key, const json& network) {
      CheckOwner("networks", "network", key);
      const json options = network.value("driver_opts", json::object());
      const std::string bridge =
          options.is_object() ? Text(options, "com.docker.network.bridge.name") : "";
      if (!bridge.empty()) {
        findings_.Add("*", "network_bridge", bridge,
                      absl::StrCat("networks.", key, ".driver_opts: bridge ", bridge));
      }
      const std::string driver = Text(network, "driver");
      if (driver.empty() || driver == "bridge" || driver == "overlay") return;
      findings_.Add("*", "network_driver", driver,
                    absl::StrCat("networks.", key, ".driver: ", driver));
    });
  }

  void Files() {
    for (const char* section : {"configs", "secrets"}) {
      Each(section, [this, section](const std::string& key, const json& file) {
        const std::string path = Text(file, "file");
        if (path.empty() || IsInside(folder_ / path, folder_)) return;
        findings_.Add("*", section, path, absl::StrCat(section, ".", key, ".file: ", path));
      });
    }
  }

 private:
  template <typename Check>
  void Each(const char* section, const Check& check) {
    const auto found = document_.find(section);
    if (found == document_.end() || !found->is_object()) return;
    for (const auto& item : found->items()) {
      check(item.key(), item.value().is_object() ? item.value() : json::object());
    }
  }

  // By `external` or `name` a file can name what other projects made: their data, their databases' networks.
  void CheckOwner(const char* section, const char* key, const std::string& entry) {
    const std::string name = RealName(document_, section, entry, project_);
    if (absl::StartsWith(name, absl::StrCat(project_, "_"))) return;
    findings_.Add("*", key, name,
                  absl::StrCat(section, ".", entry, ": ", name, ", which is not ", project_, "'s"));
  }

  const json& document_;
  const std::string& project_;
  const fs::path& folder_;
  ComposeFindings& findings_;
};

}  // namespace

void FindComposePolicy(const json& document, const std::string& project, const fs::path& folder,
                       ComposeFindings& findings) {
  for (const auto& item : document["services"].items()) {
    if (!item.value().is_object()) continue;
    CheckKeys(item.value(), kKnownServiceKeys, item.key(), "",
              absl::StrCat("services.", item.key(), "."), findings);
    CheckPrivileges(item.key(), item.value(), findings);
    CheckMounts(item.key(), item.value(), folder, findings);
    CheckLogging(item.key(), item.value(), findings);
    CheckBuild(item.key(), item.value(), folder, findings);
  }
  ResourceCheck resources(document, project, folder, findings);
  resources.Volumes();
  resources.Networks();
  resources.Files();
}

absl::Status CheckComposePolicy(const json& document, const std::string& project,
                                const fs::path& folder,
                                const std::vector<std::string>& allowances) {
  ComposeFindings findings;
  FindComposePolicy(document, project, folder, findings);
  return findings.Verdict(allowances);
}

}  // namespace slipway::executor
