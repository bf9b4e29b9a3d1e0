// How daemons are addressed: unix:///run/slipway/controller.sock. Other ways to connect get a scheme each.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

struct Address {
  // Absolute path of a unix socket.
  std::string path;
};

// INVALID_ARGUMENT (reason BAD_ADDRESS) that shows the expected form.
absl::StatusOr<Address> ParseAddress(absl::string_view text);

}  // namespace slipway
