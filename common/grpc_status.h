// The one edge between absl::Status and gRPC's: codes are the same numbers, and the ErrorDetail travels in the status's
// details.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace slipway {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace slipway
