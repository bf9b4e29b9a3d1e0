// Durations between protobuf, std::chrono and the spelling people use: 250ms, 10s, 5m, 1h30m.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

namespace slipway {

// At most a hundred years either way, however long a hostile client says it is.
std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration);
google::protobuf::Duration ToProto(std::chrono::nanoseconds duration);
std::chrono::system_clock::time_point FromProto(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp ToProto(std::chrono::system_clock::time_point time);

// INVALID_ARGUMENT unless it is a number with a unit, or several such.
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(absl::string_view text);
// The shortest spelling with at most millisecond precision: 0s, 37ms, 1.2s, 2m5s.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace slipway
