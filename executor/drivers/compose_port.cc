#include "executor/drivers/compose_port.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

bool ParseNumber(absl::string_view text, uint32_t& number) {
  return absl::SimpleAtoi(text, &number);
}

// 127.0.0.1:8000:8000/tcp, 8000:8000, 8000
std::optional<ComposePort> ParseShortPort(absl::string_view text) {
  ComposePort port;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  if (!parts.second.empty()) port.protocol = std::string(parts.second);
  absl::string_view rest = parts.first;
  const size_t target_colon = rest.rfind(':');
  if (!ParseNumber(rest.substr(target_colon == absl::string_view::npos ? 0 : target_colon + 1),
                   port.target)) {
    return std::nullopt;
  }
  if (target_colon == absl::string_view::npos) return port;
  rest = rest.substr(0, target_colon);
  const size_t host_colon = rest.rfind(':');
  if (!ParseNumber(rest.substr(host_colon == absl::string_view::npos ? 0 : host_colon + 1),
                   port.published)) {
    return std::nullopt;
  }
  if (host_colon != absl::string_view::npos) port.host_ip = std::string(rest.substr(0, host_colon));
  return port;
}

uint32_t NumberIn(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return 0;
  if (found->is_number_unsigned() || found->is_number_integer()) return found->get<uint32_t>();
  uint32_t number = 0;
  return found->is_string() && ParseNumber(found->get_ref<const std::string&>(), number) ? number
                                                                                         : 0;
}

}  // namespace

std::optional<ComposePort> ParseComposePort(const json& entry) {
  if (entry.is_number_integer()) {
    ComposePort port;
    port.target = entry.get<uint32_t>();
    return port;
  }
  if (entry.is_string()) return ParseShortPort(entry.get_ref<const std::string&>());
  if (!entry.is_object()) return std::nullopt;
  ComposePort port;
  port.published = NumberIn(entry, "published");
  port.target = NumberIn(entry, "target");
  port.host_ip = entry.value("host_ip", "");
  port.protocol = entry.value("protocol", "tcp");
  return port;
}

}  // namespace slipway::executor
