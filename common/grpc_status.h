// Converts between absl::Status and gRPC's. Codes are the same numbers. The ErrorDetail travels in the trailer
// grpc-status-details-bin, as status_details.proto describes, in a form that other languages' libraries read.
#pragma once

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace slipway {

// Clients refuse trailers above 8 KiB, and the error with them: a message is cut off after 2 KiB.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace slipway
