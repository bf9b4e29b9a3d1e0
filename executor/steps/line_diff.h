// The lines by which one small text differs from another.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace slipway::executor {

// Each line after `-`, `+` or a space, in order; empty when the texts are equal. For texts of some
// hundred lines.
std::string LineDiff(absl::string_view before, absl::string_view after);

}  // namespace slipway::executor
