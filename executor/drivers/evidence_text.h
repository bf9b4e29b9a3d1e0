// Bytes of unknown origin (bodies, container output, nginx's error log) as text that may stand in a
// protobuf string.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace slipway::executor {

// At most `max` bytes of valid UTF-8 without control characters but tab and newline; anything else
// becomes `?`.
std::string EvidenceText(absl::string_view bytes, size_t max = 2048);

// The last `count` lines, empty ones left out, each as evidence text of at most 512 bytes.
std::vector<std::string> LastLines(absl::string_view text, size_t count);

}  // namespace slipway::executor
