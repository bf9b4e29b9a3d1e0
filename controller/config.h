// The controller's configuration file with its defaults; the keys are in proto/slipway/config/v1/config.proto.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/store/postgres.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

inline constexpr char kDefaultConfigPath[] = "/etc/slipway/controller.yaml";

// NOT_FOUND without such a file; INVALID_ARGUMENT that says where for what it cannot mean.
absl::StatusOr<config::v1::ControllerConfig> LoadConfig(const std::string& path);

// How the database is reached, when there is one; nothing for a file in the state folder.
std::optional<PostgresOptions> PostgresOf(const config::v1::ControllerConfig& config);

// As the system calls it.
std::string MachineName();

// What config.proto names as default, where nothing is set.
void ApplyDefaults(config::v1::ControllerConfig& config);

}  // namespace slipway::controller
