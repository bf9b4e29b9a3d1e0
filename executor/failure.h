// Statuses that carry why a step failed, from a driver up to the step's result.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {

// FAILED_PRECONDITION whose detail names the reason; ReasonOf() finds it again.
absl::Status Failure(pb::FailureReason reason, absl::string_view message,
                     absl::string_view cure = "");

// The reason that Failure() attached. For other statuses the nearest one: DEADLINE_EXCEEDED is
// DEADLINE, CANCELLED is CANCELLED, RESOURCE_EXHAUSTED is NO_SPACE, anything else INTERNAL.
pb::FailureReason ReasonOf(const absl::Status& status);

}  // namespace slipway::executor
