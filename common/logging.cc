#include "common/logging.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace slipway {
namespace {

spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("slipway", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %L %v", spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

bool IsPlain(absl::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '=' && c != '\\';
  });
}

void Write(spdlog::level::level_enum level, absl::string_view message, LogFields fields) {
  std::string line = absl::CHexEscape(message);
  for (const auto& [key, value] : fields) {
    absl::StrAppend(&line, " ", key, "=");
    if (IsPlain(value)) {
      absl::StrAppend(&line, value);
    } else {
      absl::StrAppend(&line, "\"", absl::Utf8SafeCHexEscape(value), "\"");
    }
  }
  Logger().log(level, "{}", line);
}

}  // namespace

void LogInfo(absl::string_view message, LogFields fields) {
  Write(spdlog::level::info, message, fields);
}
void LogWarning(absl::string_view message, LogFields fields) {
  Write(spdlog::level::warn, message, fields);
}
void LogError(absl::string_view message, LogFields fields) {
  Write(spdlog::level::err, message, fields);
}

}  // namespace slipway
