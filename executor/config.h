// The executor's configuration file with its defaults; the keys are in
// proto/slipway/config/v1/executor_config.proto.
#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "slipway/config/v1/executor_config.pb.h"

namespace slipway::executor {

// A missing file at the default path is fine; any other must exist.
absl::StatusOr<config::v1::ExecutorConfig> LoadConfig(const std::string& path);

inline constexpr char kDefaultConfigPath[] = "/etc/slipway/executor.yaml";

}  // namespace slipway::executor
