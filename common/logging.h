// The daemons' log: one line per event on standard error, `time level message key=value ...`, for journald and people.
// A value is quoted when it has anything but plain characters, so that no input can forge a line. No secret is logged:
// callers pass names, numbers and digests.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace slipway {

using LogFields = std::initializer_list<std::pair<absl::string_view, std::string>>;

void LogInfo(absl::string_view message, LogFields fields = {});
void LogWarning(absl::string_view message, LogFields fields = {});
void LogError(absl::string_view message, LogFields fields = {});

}  // namespace slipway
