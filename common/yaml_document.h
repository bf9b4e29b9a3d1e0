// A YAML document as a tree that is safe to walk, whoever wrote it.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <yaml-cpp/yaml.h>

namespace slipway {

// With every alias followed. A large compose file has a few thousand values, six levels deep.
inline constexpr size_t kMostYamlValues = 100'000;
inline constexpr size_t kDeepestYaml = 100;

// The only document of the text; a null node for a text without one. Aliases are shared nodes: whoever follows them meets
// at most kMostYamlValues values, at most kDeepestYaml levels down, and none within itself. `file` names the text in errors:
// INVALID_ARGUMENT, reason INVALID_YAML.
absl::StatusOr<YAML::Node> LoadYaml(absl::string_view text, absl::string_view file);

// INVALID_ARGUMENT, reason INVALID_YAML, `file:line:column: what`.
absl::Status InvalidYaml(absl::string_view file, const YAML::Mark& mark, absl::string_view what);

}  // namespace slipway
