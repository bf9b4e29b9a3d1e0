// Keys, certificate requests and certificates (OpenSSL), as text in PEM. Keys are ECDSA P-256.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/identity.h"

namespace slipway {

using WallTime = std::chrono::system_clock::time_point;

struct CertificateFacts {
  // Lower-case hexadecimal.
  std::string serial;
  Principal principal;
  WallTime not_before;
  WallTime not_after;
};

// A new private key, PKCS #8.
absl::StatusOr<std::string> MakePrivateKey();
// PKCS #10 over the key; it says nothing but which key it is.
absl::StatusOr<std::string> MakeCertificateRequest(const std::string& key_pem);
// INVALID_ARGUMENT unless it is one certificate whose only URI names an identity.
absl::StatusOr<CertificateFacts> ReadCertificate(const std::string& certificate_pem);
// INVALID_ARGUMENT that says why key, certificate and authority do not belong together, or that the certificate has ended: what
// a TLS server would take silently and then answer nobody with.
absl::Status CheckCredentials(const std::string& key_pem, const std::string& certificate_pem,
                              const std::string& authority_pem);

// A certificate authority: its key and its own certificate.
class Authority {
 public:
  // Of ten years.
  static absl::StatusOr<Authority> Make(WallTime now);
  static absl::StatusOr<Authority> Read(std::string key_pem, std::string certificate_pem);

  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& key_pem() const { return key_pem_; }

  // A certificate over the request's key, for client and server, valid from a minute ago; a controller's has a DNS name too,
  // slipway-controller, for clients that check no URI. INVALID_ARGUMENT (reason
  // BAD_CERTIFICATE_REQUEST) when the request is not signed by its own key, or its key is weak.
  absl::StatusOr<std::string> Sign(const std::string& request_pem, const Principal& principal,
                                   WallTime now, std::chrono::seconds life) const;
  // The list of what is revoked, by serial.
  absl::StatusOr<std::string> SignRevocations(const std::vector<std::string>& serials,
                                              WallTime now) const;
  // Over the bytes, by the authority's key.
  absl::StatusOr<std::string> SignBytes(const std::string& bytes) const;

 private:
  Authority(std::string key_pem, std::string certificate_pem)
      : key_pem_(std::move(key_pem)), certificate_pem_(std::move(certificate_pem)) {}

  std::string key_pem_;
  std::string certificate_pem_;
};

// UNAUTHENTICATED unless the authority signed the bytes.
absl::Status VerifyBytes(const std::string& authority_pem, const std::string& bytes,
                         const std::string& signature);
// The serials of a list that the authority signed; INVALID_ARGUMENT when it did not.
absl::StatusOr<std::vector<std::string>> ReadRevocations(const std::string& authority_pem,
                                                         const std::string& list_pem);

}  // namespace slipway
