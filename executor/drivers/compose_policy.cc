#include "executor/drivers/compose_policy.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/compose_document.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Those that Docker gives every container, and that of a low port. Any other reaches beyond the container.
constexpr std::array kHarmlessCapabilities = {
    "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER", "FSETID",  "KILL",   "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",      "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"};
constexpr int kMostFiles = 100;

class Findings {
 public:
  explicit Findings(const std::vector<std::string>& allowances)
      : allowances_(allowances.begin(), allowances.end()) {}

  // `where` is the key as the file has it.
  void Add(const std::string& service, const std::string& key, const std::string& value,
           const std::string& where) {
    const std::string exact = value.empty() ? absl::StrCat(service, ":", key)
                                            : absl::StrCat(service, ":", key, ":", value);
    if (allowances_.contains(exact) || allowances_.contains(absl::StrCat(service, ":", key)))
      return;
    keys_.push_back(where);
    cures_.insert(absl::StrCat("--add ", exact));
  }

  absl::Status Verdict() const {
    if (keys_.empty()) return absl::OkStatus();
    return Failure(
        pb::FAILURE_REASON_POLICY,
        absl::StrCat("the compose file reaches out of its containers, which hosts refuse: ",
                     absl::StrJoin(keys_, "; ")),
        absl::StrCat("take it out, or let an operator say `slipway allow ",
                     absl::StrJoin(cures_, " "), "`"));
  }

 private:
  const std::set<std::string> allowances_;
  std::vector<std::string> keys_;
  std::set<std::string> cures_;
};

bool IsInside(const fs::path& path, const fs::path& folder) {
  const fs::path normal = path.lexically_normal();
  const auto [end, rest] =
      std::mismatch(folder.begin(), folder.end(), normal.begin(), normal.end());
  return end == folder.end();
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_boolean() && found->get<bool>() ? "true" : "";
}

// Compose interpolates before it opens the file, so what it opens is judged: $X, ${X}, ${X:-default} and ${X-default}. Nothing
// for other forms.
std::optional<std::string> Interpolated(const std::string& text, const Environment& environment) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '$') {
      result += text[at++];
      continue;
    }
    const bool braces = at + 1 < text.size() && text[at + 1] == '{';
    const size_t name_at = at + (braces ? 2 : 1);
    size_t end = name_at;
    while (end < text.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) {
      ++end;
    }
    if (end == name_at) return std::nullopt;
    const auto found = environment.find(text.substr(name_at, end - name_at));
    std::string value = found == environment.end() ? "" : found->second;
    if (braces) {
      const size_t close = text.find('}', end);
      if (close == std::string::npos) return std::nullopt;
      std::string rest = text.substr(end, close - end);
      const bool also_empty = absl::StartsWith(rest, ":-");
      if (!rest.empty()) {
        if (!also_empty && rest[0] != '-') return std::nullopt;
        rest = rest.substr(also_empty ? 2 : 1);
        if (absl::StrContains(rest, "$")) return std::nullopt;
        if (found == environment.end() || (also_empty && value.empty())) value = rest;
      }
      end = close + 1;
    }
    result += value;
    at = end;
  }
  return result;
}

bool IsRemote(const std::string& target) {
  return absl::StrContains(target, "://") || absl::StartsWith(target, "git@") ||
         absl::StartsWith(target, "oci:") || absl::StartsWith(target, "github.com/") ||
         absl::EndsWith(target, ".git") || absl::StrContains(target, ".git#");
}

// One file and what it names; answers the local compose files among them, relative to the release. What cannot be read here
// is refused: compose's own reader may take it for more than we saw.
absl::StatusOr<std::vector<fs::path>> CheckOneFile(const fs::path& folder, const fs::path& file,
                                                   const Environment& environment,
                                                   Findings& findings) {
  std::vector<fs::path> more;
  const auto text = ReadFile(folder / file);
  // Compose itself says that a file is missing.
  if (!text.ok()) return more;
  const auto references = ReferencesOf(*text, file.string());
  if (!references.ok()) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE, references.status().message());
  }
  for (const ComposeReference& reference : *references) {
    const auto target = Interpolated(reference.target, environment);
    // Shown as it is written: what a variable holds may be a secret.
    const std::string where =
        absl::StrCat(file.string(), ": ", reference.key, " ", reference.target);
    // Relative to the file that names it or to the project: it has to be inside either way.
    const bool inside = target && !IsRemote(*target) &&
                        IsInside(folder / file.parent_path() / *target, folder) &&
                        IsInside(folder / *target, folder);
    if (!inside) {
      findings.Add("*", reference.key, reference.target, where);
    } else if (reference.key == "include" || reference.key == "extends") {
      more.push_back((file.parent_path() / *target).lexically_normal());
    }
  }
  return more;
}

void CheckBind(const std::string& service, const std::string& source, const fs::path& folder,
               Findings& findings) {
  if (!absl::StartsWith(source, "/") || IsInside(source, folder)) return;
  findings.Add(service, "bind", fs::path(source).lexically_normal().string(),
               absl::StrCat("services.", service, ".volumes: ", source));
}

void CheckMounts(const std::string& service, const json& definition, const fs::path& folder,
                 Findings& findings) {
  const auto volumes = definition.find("volumes");
  if (volumes != definition.end() && volumes->is_array()) {
    for (const json& volume : *volumes) {
      if (volume.is_string()) {
        const auto text = volume.get<std::string>();
        CheckBind(service, text.substr(0, text.find(':')), folder, findings);
      } else if (volume.is_object() && Text(volume, "type") == "bind") {
        CheckBind(service, Text(volume, "source"), folder, findings);
      } else if (volume.is_object() && Text(volume, "type") == "npipe") {
        findings.Add(service, "npipe", "", absl::StrCat("services.", service, ".volumes: npipe"));
      }
    }
  }
  for (const char* key : {"devices", "device_cgroup_rules"}) {
    const auto devices = definition.find(key);
    if (devices == definition.end() || !devices->is_array()) continue;
    for (const json& device : *devices) {
      const std::string whole = device.is_object()   ? Text(device, "source")
                                : device.is_string() ? device.get<std::string>()
                                                     : "";
      const std::string name =
          std::string(key) == "devices" ? whole.substr(0, whole.find(':')) : whole;
      findings.Add(service, key, name, absl::StrCat("services.", service, ".", key, ": ", name));
    }
  }
}

void CheckPrivileges(const std::string& service, const json& definition, Findings& findings) {
  const auto where = [&service](absl::string_view key, absl::string_view value) {
    return absl::StrCat("services.", service, ".", key, ": ", value);
  };
  if (Text(definition, "privileged") == "true") {
    findings.Add(service, "privileged", "", where("privileged", "true"));
  }
  for (const char* key :
       {"network_mode", "net", "pid", "ipc", "uts", "userns_mode", "cgroup", "cgroup_parent"}) {
    const std::string value = Text(definition, key);
    const bool reaches = value == "host" || absl::StartsWith(value, "container:") ||
                         (std::string(key) == "cgroup_parent" && !value.empty());
    if (reaches) findings.Add(service, key, value, where(key, value));
  }
  const auto capabilities = definition.find("cap_add");
  if (capabilities != definition.end() && capabilities->is_array()) {
    for (const json& one : *capabilities) {
      std::string name = one.is_string() ? absl::AsciiStrToUpper(one.get<std::string>()) : "";
      if (absl::StartsWith(name, "CAP_")) name = name.substr(4);
      const bool harmless = std::find(kHarmlessCapabilities.begin(), kHarmlessCapabilities.end(),
                                      name) != kHarmlessCapabilities.end();
      if (!harmless) findings.Add(service, "cap_add", name, where("cap_add", name));
    }
  }
  const auto options = definition.find("security_opt");
  if (options != definition.end() && options->is_array()) {
    for (const json& one : *options) {
      const std::string option = one.is_string() ? one.get<std::string>() : "";
      const bool harmless = absl::StartsWith(option, "no-new-privileges");
      if (!harmless) findings.Add(service, "security_opt", option, where("security_opt", option));
    }
  }
  const auto from = definition.find("volumes_from");
  if (from != definition.end() && from->is_array()) {
    for (const json& one : *from) {
      const std::string source = one.is_string() ? one.get<std::string>() : "";
      if (absl::StartsWith(source, "container:")) {
        findings.Add(service, "volumes_from", source, where("volumes_from", source));
      }
    }
  }
}

void CheckBuild(const std::string& service, const json& definition, const fs::path& folder,
                Findings& findings) {
  const auto build = definition.find("build");
  if (build == definition.end()) return;
  const json section = build->is_object() ? *build : json{{"context", *build}};
  const std::string context = Text(section, "context");
  const std::string where = absl::StrCat("services.", service, ".build.");
  if (!context.empty() && (IsRemote(context) || !IsInside(folder / context, folder))) {
    findings.Add(service, "build_context", context, absl::StrCat(where, "context: ", context));
  }
  if (Text(section, "network") == "host") {
    findings.Add(service, "build_network", "host", absl::StrCat(where, "network: host"));
  }
  if (Text(section, "privileged") == "true") {
    findings.Add(service, "build_privileged", "", absl::StrCat(where, "privileged: true"));
  }
}

// Volumes that are binds in disguise, files that are read into containers, the host's network by another name.
void CheckResources(const json& document, const fs::path& folder, Findings& findings) {
  const auto each = [&document](const char* key, const auto& check) {
    const auto section = document.find(key);
    if (section == document.end() || !section->is_object()) return;
    for (const auto& item : section->items()) {
      if (item.value().is_object()) check(item.key(), item.value());
    }
  };
  each("volumes", [&](const std::string& name, const json& volume) {
    const auto options = volume.find("driver_opts");
    if (options == volume.end() || !options->is_object()) return;
    const std::string device = Text(*options, "device");
    const bool binds = absl::StrContains(Text(*options, "o"), "bind") ||
                       Text(*options, "type") == "none" || absl::StartsWith(device, "/");
    if (binds && !IsInside(device, folder)) {
      findings.Add("*", "volume_bind", device,
                   absl::StrCat("volumes.", name, ".driver_opts.device: ", device));
    }
  });
  for (const char* key : {"configs", "secrets"}) {
    each(key, [&](const std::string& name, const json& file) {
      const std::string path = Text(file, "file");
      if (!path.empty() && !IsInside(folder / path, folder)) {
        findings.Add("*", key, path, absl::StrCat(key, ".", name, ".file: ", path));
      }
    });
  }
  each("networks", [&](const std::string& name, const json& network) {
    const bool host = Text(network, "name") == "host" || Text(network, "driver") == "host";
    if (host || (name == "host" && network.contains("external"))) {
      findings.Add("*", "network", "host", absl::StrCat("networks.", name, ": the host's own"));
    }
  });
}

}  // namespace

absl::Status CheckComposeReferences(const fs::path& folder, const std::string& file,
                                    const Environment& environment,
                                    const std::vector<std::string>& allowances) {
  Findings findings(allowances);
  std::vector<fs::path> files = {fs::path(file).lexically_normal()};
  for (size_t i = 0; i < files.size() && i < kMostFiles; ++i) {
    const fs::path one = files[i];
    SLIPWAY_ASSIGN_OR_RETURN(std::vector<fs::path> named,
                             CheckOneFile(folder, one, environment, findings));
    for (fs::path& more : named) {
      if (std::find(files.begin(), files.end(), more) == files.end()) {
        files.push_back(std::move(more));
      }
    }
  }
  if (files.size() > kMostFiles) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   "the compose file includes more than 100 others");
  }
  return findings.Verdict();
}

absl::Status CheckComposePolicy(const json& document, const fs::path& folder,
                                const std::vector<std::string>& allowances) {
  Findings findings(allowances);
  for (const auto& item : document["services"].items()) {
    if (!item.value().is_object()) continue;
    CheckPrivileges(item.key(), item.value(), findings);
    CheckMounts(item.key(), item.value(), folder, findings);
    CheckBuild(item.key(), item.value(), folder, findings);
  }
  CheckResources(document, folder, findings);
  return findings.Verdict();
}

}  // namespace slipway::executor
