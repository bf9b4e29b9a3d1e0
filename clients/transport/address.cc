#include "clients/transport/address.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/status.h"

namespace slipway {

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  absl::string_view path = text;
  if (!absl::ConsumePrefix(&path, "unix://") || path.empty() || path.front() != '/') {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
        absl::StrCat("'", text, "' is not an address this version can connect to"),
        "write unix:// and the absolute path of a socket, as unix:///run/slipway/executor.sock");
  }
  return Address{std::string(path)};
}

}  // namespace slipway
