// The one edge between absl::Status and gRPC's: codes are the same numbers, and the ErrorDetail travels in the status's
// details.
#pragma once

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace slipway {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace slipway
