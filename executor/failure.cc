#include "executor/failure.h"

#include "common/status.h"

namespace slipway::executor {

absl::Status Failure(pb::FailureReason reason, absl::string_view message, absl::string_view cure) {
  return Error(absl::StatusCode::kFailedPrecondition, pb::FailureReason_Name(reason), message,
               cure);
}

pb::FailureReason ReasonOf(const absl::Status& status) {
  pb::FailureReason reason = pb::FAILURE_REASON_UNSPECIFIED;
  if (pb::FailureReason_Parse(DetailOf(status).reason(), &reason)) return reason;
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return pb::FAILURE_REASON_DEADLINE;
    case absl::StatusCode::kCancelled:
      return pb::FAILURE_REASON_CANCELLED;
    case absl::StatusCode::kResourceExhausted:
      return pb::FAILURE_REASON_NO_SPACE;
    default:
      return pb::FAILURE_REASON_INTERNAL;
  }
}

}  // namespace slipway::executor
