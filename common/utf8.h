// Which bytes are UTF-8.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace slipway {

// How long the character at the front is; 0 when the bytes are none: cut off, spelt too long, half of a surrogate pair, or beyond
// U+10FFFF.
size_t Utf8Length(absl::string_view bytes);

bool IsUtf8(absl::string_view bytes);

}  // namespace slipway
