// Errors as Slipway passes them on: an absl::Status whose payload carries the machine-readable ErrorDetail (a stable
// reason, what it is about, and what to do). No exceptions of ours; third-party ones are caught where they arise.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/errors.pb.h"

namespace slipway {

// An error for people and programs. `message` says what failed and what is true now; `reason` is UPPER_SNAKE_CASE and
// stable; `cure` says what to do and may be empty.
absl::Status Error(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                   absl::string_view cure = "", absl::string_view subject = "");

// The detail that Error() attached; empty for a status without one.
pb::ErrorDetail DetailOf(const absl::Status& status);
void SetDetail(absl::Status& status, const pb::ErrorDetail& detail);

// The same status with `context: ` before its message.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// What failed, and what to do about it, in one line for people.
std::string MessageWithCure(const absl::Status& status);

// The present errno as a status: `what: No such file or directory`.
absl::Status ErrnoError(absl::string_view what);
absl::Status ErrnoError(int error_number, absl::string_view what);

#define SLIPWAY_CONCAT_INNER(a, b) a##b
#define SLIPWAY_CONCAT(a, b) SLIPWAY_CONCAT_INNER(a, b)

// Numbered, because a macro may stand in a lambda that is an argument of another one, all on one line for the compiler.
#define SLIPWAY_RETURN_IF_ERROR_INNER(result, expression)                \
  do {                                                                   \
    if (absl::Status result = (expression); !result.ok()) return result; \
  } while (false)

#define SLIPWAY_RETURN_IF_ERROR(expression) \
  SLIPWAY_RETURN_IF_ERROR_INNER(SLIPWAY_CONCAT(slipway_status_, __COUNTER__), expression)

#define SLIPWAY_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                      \
  if (!result.ok()) return result.status();                        \
  target = std::move(result).value()

#define SLIPWAY_ASSIGN_OR_RETURN(target, expression) \
  SLIPWAY_ASSIGN_OR_RETURN_INNER(SLIPWAY_CONCAT(slipway_or_, __COUNTER__), target, expression)

}  // namespace slipway
