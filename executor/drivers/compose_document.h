// What `compose config` prints, as JSON: compose 2 prints JSON, compose 1 prints YAML.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

namespace slipway::executor {

// INVALID_COMPOSE_FILE when it is neither.
absl::StatusOr<nlohmann::json> ParseComposeDocument(absl::string_view text);

}  // namespace slipway::executor
