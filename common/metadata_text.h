// Text in gRPC's metadata. Values of plain keys may hold printable ASCII only: anything else makes gRPC abort the process that sends
// it. Text is therefore percent-encoded.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

// Text of more bytes is cut off before a character: names and refs are shorter, and servers refuse large metadata as a whole.
inline constexpr size_t kLongestMetadataText = 200;

// Printable ASCII but `%` stays; every other byte becomes %XX.
std::string EncodeMetadata(absl::string_view text);
// For logs and terminals: control characters and what is not UTF-8 become `?`.
std::string DecodeMetadata(absl::string_view encoded);

// A secret as it was pasted, without white space around it. INVALID_ARGUMENT (reason BAD_TOKEN_TEXT) when white space, a control
// character or anything but ASCII is within, or it is too long for a call; `name` says where it stands. It is not in the message.
absl::StatusOr<std::string> CleanSecret(absl::string_view text, absl::string_view name);

}  // namespace slipway
