// The daemons' log: one line per event on standard error, `time level message key=value ...`, for journald and people.
// A value is quoted when it has anything but plain characters, so that no input can forge a line. No secret is logged:
// callers pass names, numbers and digests.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>


namespace slipway {

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

void LogInfo(std::string_view message, LogFields fields = {});
void LogWarning(std::string_view message, LogFields fields = {});
void LogError(std::string_view message, LogFields fields = {});

}  // namespace slipway
