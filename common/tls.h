// TLS 1.3 for both hops, from files that are read again when they change: certificates are replaced without a restart.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>

#include "common/x509.h"

namespace slipway {

// PEM. A client may have no certificate of its own: certificate and key are empty then.
struct TlsFiles {
  std::filesystem::path authority;
  std::filesystem::path certificate;
  std::filesystem::path key;

  auto operator<=>(const TlsFiles&) const = default;
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

// A client's credentials for any number of servers; one thread looks at the files for all of them.
class TlsClients {
 public:
  // INVALID_ARGUMENT without an authority.
  static absl::StatusOr<TlsClients> Watch(const TlsFiles& files);

  // The server's certificate must be the authority's, have `peer` as its one URI, and pass the check (may be empty).
  std::shared_ptr<grpc::ChannelCredentials> For(const std::string& peer,
                                                CertificateCheck check) const;

 private:
  using Provider = grpc::experimental::CertificateProviderInterface;
  TlsClients(std::shared_ptr<Provider> provider, bool shows_certificate)
      : provider_(std::move(provider)), shows_certificate_(shows_certificate) {}

  std::shared_ptr<Provider> provider_;
  bool shows_certificate_;
};

}  // namespace slipway
