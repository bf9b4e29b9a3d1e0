// TLS 1.3 for both hops, from files that are read again when they change: certificates are replaced without a restart.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include "common/x509.h"

namespace slipway {

// PEM. A client may have no certificate of its own: certificate and key are empty then.
struct TlsFiles {
  std::filesystem::path authority;
  std::filesystem::path certificate;
  std::filesystem::path key;
};

// In the folder by the names that PublishCredentials() writes.
TlsFiles FilesIn(const std::filesystem::path& folder);

// Checks the three together, and puts them into the folder in one step (a link that is renamed), so that no reader ever sees
// a key with another's certificate. What was there stays when they do not fit.
absl::Status PublishCredentials(const std::filesystem::path& folder, const std::string& key_pem,
                                const std::string& certificate_pem,
                                const std::string& authority_pem);

// How old a connection may get before its client should show its certificate anew: an hour, less for certificates of hours.
std::chrono::milliseconds ConnectionAge(std::chrono::nanoseconds certificate_life);

// A client certificate that is not the authority's ends the handshake; one must be there when `required`.
std::shared_ptr<grpc::ServerCredentials> TlsServer(const TlsFiles& files, bool required);
// May refuse a certificate that is good in itself; asked in each handshake, on gRPC's threads.
using CertificateCheck = std::function<absl::Status(const CertificateFacts&)>;
// The server's certificate must be the authority's, have `peer` as its one URI, and pass the check (may be empty).
// INVALID_ARGUMENT without an authority.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsClient(const TlsFiles& files,
                                                                    const std::string& peer,
                                                                    CertificateCheck check = {});

}  // namespace slipway
