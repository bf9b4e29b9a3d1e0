// The env file (PROD_ENV_FILE): one rule for every compose version, so that each value reaches its container byte for byte.
//
// The file itself is stored and delivered untouched. To hand single values to services it is read so:
//   NAME=value        up to the end of the line; white space at both ends is dropped, a ` #` starts a comment
//   NAME='value'      literal, may span lines; ends at the next single quote
//   NAME="value"      may span lines; \n \r \t \" \\ and \$ are escapes, every other backslash stands for itself
//   export NAME=...   the word export is ignored; blank lines and lines that start with # too
// `$` has no meaning anywhere: nothing is interpolated. A name that comes twice: the last one counts.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

using Environment = std::map<std::string, std::string>;

// INVALID_ARGUMENT with line:column, never with any part of a value: the text is secret.
absl::StatusOr<Environment> ParseEnvFile(absl::string_view text);

// The text with these variables set: a line that sets one is replaced, a new one is appended; every other byte stays.
absl::StatusOr<std::string> SetInEnvFile(absl::string_view text, const Environment& variables);

}  // namespace slipway
