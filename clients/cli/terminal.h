// Asking a person.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace slipway::cli {

// Somebody sits at the terminal that this process belongs to.
bool CanAsk();
// Reads a line that is not shown while it is typed. ABORTED when nothing was typed.
absl::StatusOr<std::string> AskSecret(const std::string& prompt);
// True for `yes` and nothing else.
bool Confirm(const std::string& question);

}  // namespace slipway::cli
