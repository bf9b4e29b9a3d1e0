// Compose files as data: what a person wrote, as far as it tells which files compose will read, and
// what `compose config` prints.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

namespace slipway::executor {

// The env files that `compose config` reads for this compose file, as they are written in it;
// nothing when that cannot be told without compose, because the file extends or includes others or
// names them by variables.
std::optional<std::set<std::string>> EnvFilesOf(absl::string_view compose_text);

// Another file that a compose file names.
struct ComposeReference {
  // include, extends, env_file, label_file, project_directory.
  std::string key;
  // As it is written.
  std::string target;
};
// Wherever in the file they stand, also below `x-` keys, from where anchors bring them into services. INVALID_ARGUMENT for
// what is not one YAML document, with `file` naming it.
absl::StatusOr<std::vector<ComposeReference>> ReferencesOf(absl::string_view compose_text,
                                                           absl::string_view file);

// What `compose config` prints, as JSON: compose 2 prints JSON, compose 1 prints YAML.
// INVALID_COMPOSE_FILE when it is neither.
absl::StatusOr<nlohmann::json> ParseComposeDocument(absl::string_view text);

// Takes out the services whose profiles are all inactive, but for those that `kept` names. `active` is
// what COMPOSE_PROFILES says: names with commas between them, or `*`.
void DropInactiveServices(nlohmann::json& document, absl::string_view active,
                          const std::set<std::string>& kept);
bool IsInactive(const nlohmann::json& service, absl::string_view active);

// Replaces `volumes_from` of services by the volumes of the services that it names, which may end up in
// another project.
void ExpandVolumesFrom(nlohmann::json& document);

// `stop_grace_period` of a normalised service: `1m30s`, `45s`, or a number of seconds.
std::optional<std::chrono::seconds> StopGraceOf(const nlohmann::json& service);

// An entry of `networks` or `volumes` that was made by somebody else, in any of its spellings.
bool IsExternal(const nlohmann::json& resource);

// What Docker calls an entry of `networks` or `volumes`. Compose 2 says it; compose 1 leaves it to the rule, PROJECT_KEY.
std::string RealName(const nlohmann::json& document, const char* section, const std::string& key,
                     const std::string& project);

}  // namespace slipway::executor
