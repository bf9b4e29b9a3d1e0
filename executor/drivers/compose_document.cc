#include "executor/drivers/compose_document.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "common/status.h"
#include "common/yaml_document.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

template <typename Number>
bool ParsesAs(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Compose 1 quotes every string that YAML 1.1 would read as a number, and only those: 0129 and 12e3
// come out plain, and are strings. Its own numbers have neither leading zeros nor an exponent
// without a point and a sign.
bool IsYamlNumber(absl::string_view text) {
  absl::ConsumePrefix(&text, "-");
  const auto digits = [&text] {
    const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  const bool leading_zero = absl::StartsWith(text, "0");
  const size_t whole = digits();
  if (whole == 0) return false;
  if (text.empty()) return !leading_zero || whole == 1;
  if (!absl::ConsumePrefix(&text, ".")) return false;
  digits();
  if (text.empty()) return true;
  return absl::ConsumePrefix(&text, "e") &&
         (absl::ConsumePrefix(&text, "+") || absl::ConsumePrefix(&text, "-")) && digits() > 0 &&
         text.empty();
}

json ScalarToJson(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  // yaml-cpp tags a quoted scalar `!` and a plain one `?`; only a plain one may be anything but
  // text.
  if (node.Tag() == "!") return text;
  if (text.empty() || text == "null" || text == "~") return nullptr;
  if (text == "true" || text == "false") return text == "true";
  if (!IsYamlNumber(text)) return text;
  int64_t whole = 0;
  if (ParsesAs(text, whole)) return whole;
  double fraction = 0;
  if (ParsesAs(text, fraction)) return fraction;
  return text;
}

json ToJson(const YAML::Node& node) {
  if (node.IsMap()) {
    json object = json::object();
    for (const auto& item : node) object[item.first.Scalar()] = ToJson(item.second);
    return object;
  }
  if (node.IsSequence()) {
    json list = json::array();
    for (const auto& item : node) list.push_back(ToJson(item));
    return list;
  }
  return node.IsScalar() ? ScalarToJson(node) : json(nullptr);
}

// Every scalar below the node, lists and the values of maps included.
void CollectScalars(const YAML::Node& node, const std::string& key,
                    std::vector<ComposeReference>& references) {
  if (node.IsScalar()) references.push_back({key, node.Scalar()});
  if (node.IsSequence()) {
    for (const auto& item : node) CollectScalars(item, key, references);
  }
}

// The values of a key in the map and in what merge keys (`<<`) bring into it. Which of them counts is
// compose's to say, so all of them do.
void ValuesOf(const YAML::Node& map, absl::string_view key, std::vector<YAML::Node>& values) {
  if (map.IsSequence()) {
    for (const auto& one : map) ValuesOf(one, key, values);
  }
  if (!map.IsMap()) return;
  for (const auto& item : map) {
    if (item.first.Scalar() == key) values.push_back(item.second);
    if (item.first.Scalar() == "<<") ValuesOf(item.second, key, values);
  }
}

void CollectValues(const YAML::Node& map, absl::string_view key, const std::string& as,
                   std::vector<ComposeReference>& references) {
  std::vector<YAML::Node> values;
  ValuesOf(map, key, values);
  for (const YAML::Node& value : values) CollectScalars(value, as, references);
}

void CollectReferences(const YAML::Node& node, std::vector<ComposeReference>& references) {
  if (node.IsSequence()) {
    for (const auto& item : node) CollectReferences(item, references);
  }
  if (!node.IsMap()) return;
  for (const auto& item : node) {
    const std::string& key = item.first.Scalar();
    const YAML::Node& value = item.second;
    if (key == "include" || key == "env_file" || key == "label_file") {
      CollectScalars(value, key, references);
      // Entries that are maps: of an include `path`, `env_file` and `project_directory`, of an env_file `path`.
      const auto each = [&](const YAML::Node& entry) {
        if (!entry.IsMap()) return;
        CollectValues(entry, "path", key, references);
        CollectValues(entry, "env_file", "env_file", references);
        CollectValues(entry, "project_directory", "project_directory", references);
      };
      each(value);
      if (value.IsSequence()) {
        for (const auto& entry : value) each(entry);
      }
    } else if (key == "extends") {
      CollectValues(value, "file", key, references);
    } else {
      CollectReferences(value, references);
    }
  }
}

// Of a key that comes twice, one reader takes the first value and another the last. Merge keys may.
absl::Status CheckKeysComeOnce(const YAML::Node& node, absl::string_view file) {
  if (node.IsSequence()) {
    for (const auto& item : node) SLIPWAY_RETURN_IF_ERROR(CheckKeysComeOnce(item, file));
  }
  if (!node.IsMap()) return absl::OkStatus();
  std::set<std::string> keys;
  for (const auto& item : node) {
    if (!item.first.IsScalar())
      return InvalidYaml(file, item.first.Mark(), "a key that is not a text");
    if (!keys.insert(item.first.Scalar()).second) {
      return InvalidYaml(file, item.first.Mark(),
                         absl::StrCat("the key `", item.first.Scalar(), "` comes twice"));
    }
    SLIPWAY_RETURN_IF_ERROR(CheckKeysComeOnce(item.second, file));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ComposeReference>> ReferencesOf(absl::string_view compose_text,
                                                           absl::string_view file) {
  SLIPWAY_ASSIGN_OR_RETURN(const YAML::Node document, LoadYaml(compose_text, file));
  SLIPWAY_RETURN_IF_ERROR(CheckKeysComeOnce(document, file));
  std::vector<ComposeReference> references;
  CollectReferences(document, references);
  return references;
}

std::optional<std::set<std::string>> EnvFilesOf(absl::string_view compose_text) {
  const auto references = ReferencesOf(compose_text, "");
  if (!references.ok()) return std::nullopt;
  std::set<std::string> paths;
  for (const ComposeReference& reference : *references) {
    if (reference.key != "env_file" || absl::StrContains(reference.target, "$"))
      return std::nullopt;
    paths.insert(reference.target);
  }
  return paths;
}

absl::StatusOr<json> ParseComposeDocument(absl::string_view text) {
  json document = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    const auto loaded = LoadYaml(text, "compose config");
    if (!loaded.ok()) {
      return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE, loaded.status().message());
    }
    document = ToJson(*loaded);
  }
  if (!document.is_object() || !document.contains("services") ||
      !document["services"].is_object()) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE, "the compose file has no services");
  }
  return document;
}

bool IsInactive(const json& service, absl::string_view active) {
  const auto profiles = service.find("profiles");
  if (profiles == service.end() || !profiles->is_array() || profiles->empty()) return false;
  const std::set<std::string> names =
      absl::StrSplit(active, absl::ByAnyChar(", "), absl::SkipEmpty());
  return !names.contains("*") &&
         std::none_of(profiles->begin(), profiles->end(), [&names](const json& profile) {
           return profile.is_string() && names.contains(profile.get<std::string>());
         });
}

void DropInactiveServices(json& document, absl::string_view active,
                          const std::set<std::string>& kept) {
  json& services = document["services"];
  for (auto at = services.begin(); at != services.end();) {
    at = IsInactive(at.value(), active) && !kept.contains(at.key()) ? services.erase(at) : ++at;
  }
}

void ExpandVolumesFrom(json& document) {
  json& services = document["services"];
  for (auto& item : services.items()) {
    json& service = item.value();
    if (!service.contains("volumes_from") || !service["volumes_from"].is_array()) continue;
    json left = json::array();
    for (const json& entry : service["volumes_from"]) {
      const std::vector<std::string> words =
          absl::StrSplit(entry.is_string() ? entry.get<std::string>() : "", ':');
      const std::string& name = words.front();
      if (name == "container" || name == item.key() || !services.contains(name)) {
        left.push_back(entry);
        continue;
      }
      const bool read_only = words.size() > 1 && words[1] == "ro";
      for (json mount : services[name].value("volumes", json::array())) {
        if (read_only && mount.is_string()) {
          const std::vector<std::string> parts = absl::StrSplit(mount.get<std::string>(), ':');
          if (parts.size() > 1) mount = absl::StrCat(parts[0], ":", parts[1], ":ro");
        } else if (read_only && mount.is_object()) {
          mount["read_only"] = true;
        }
        if (!service["volumes"].is_array()) service["volumes"] = json::array();
        service["volumes"].push_back(std::move(mount));
      }
    }
    service.erase("volumes_from");
    if (!left.empty()) service["volumes_from"] = std::move(left);
  }
}

std::optional<std::chrono::seconds> StopGraceOf(const json& service) {
  const auto found = service.find("stop_grace_period");
  if (found == service.end()) return std::nullopt;
  if (found->is_number()) return std::chrono::seconds(static_cast<int64_t>(found->get<double>()));
  absl::Duration duration;
  if (!found->is_string() || !absl::ParseDuration(found->get<std::string>(), &duration))
    return std::nullopt;
  // Docker counts whole seconds.
  return std::chrono::seconds(absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1))));
}

bool IsExternal(const json& resource) {
  return resource.is_object() && resource.value("external", json(false)) != json(false);
}

std::string RealName(const json& document, const char* section, const std::string& key,
                     const std::string& project) {
  const auto found = document.find(section);
  if (found != document.end() && found->is_object() && found->contains(key)) {
    const json& entry = (*found)[key];
    const auto text = [](const json& object, const std::string& otherwise) {
      const auto name = object.find("name");
      return name != object.end() && name->is_string() ? name->get<std::string>() : otherwise;
    };
    if (entry.is_object() && entry.contains("name")) return text(entry, key);
    if (IsExternal(entry))
      return entry["external"].is_object() ? text(entry["external"], key) : key;
  }
  return absl::StrCat(project, "_", key);
}

}  // namespace slipway::executor
