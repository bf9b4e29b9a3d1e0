// A published port of a service, in either of compose's spellings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace slipway::executor {

struct ComposePort {
  std::string host_ip;
  // 0 when it is not published, or on any port.
  uint32_t published = 0;
  uint32_t target = 0;
  std::string protocol = "tcp";
};

// Of an object (compose 2), text such as 127.0.0.1:8000:8000/tcp (compose 1), or a number. Nothing
// for a range.
std::optional<ComposePort> ParseComposePort(const nlohmann::json& entry);

}  // namespace slipway::executor
