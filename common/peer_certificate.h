// The certificate behind a call.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include <grpcpp/server_context.h>

#include "common/x509.h"

namespace slipway {

// Nothing when the caller showed none (or came by a unix socket). The handshake has checked that it is the authority's;
// UNAUTHENTICATED (reason BAD_CERTIFICATE, CERTIFICATE_EXPIRED) when its names are not an identity's, or when it ended while the
// connection stayed open.
absl::StatusOr<std::optional<CertificateFacts>> PeerCertificate(
    const grpc::ServerContextBase& context, WallTime now);

}  // namespace slipway
