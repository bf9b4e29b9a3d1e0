#include "executor/failure.h"

#include "common/status.h"

namespace slipway::executor {

absl::Status Failure(v1::FailureReason reason, std::string_view message, std::string_view cure) {
  return Error(absl::StatusCode::kFailedPrecondition, v1::FailureReason_Name(reason), message,
               cure);
}

v1::FailureReason ReasonOf(const absl::Status& status) {
  v1::FailureReason reason = v1::FAILURE_REASON_UNSPECIFIED;
  if (v1::FailureReason_Parse(DetailOf(status).reason(), &reason)) return reason;
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return v1::FAILURE_REASON_DEADLINE;
    case absl::StatusCode::kCancelled:
      return v1::FAILURE_REASON_CANCELLED;
    case absl::StatusCode::kResourceExhausted:
      return v1::FAILURE_REASON_NO_SPACE;
    default:
      return v1::FAILURE_REASON_INTERNAL;
  }
}

}  // namespace slipway::executor
