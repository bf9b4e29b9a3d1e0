// This host's certificate: made by the controller's authority over a key that never leaves the host.
//
// Enrolling takes two steps, so that nothing secret travels: Request() makes a key and asks for a certificate over it, Install()
// takes the answer. A renewal is the same two steps. What is installed is checked as a whole first and replaced in one rename;
// whatever happens in between, the certificate before stays good.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "common/x509.h"

namespace slipway::executor {

// Safe from several threads.
class Credentials {
 public:
  explicit Credentials(std::filesystem::path folder);

  // Where FilesIn() (common/tls.h) finds what is installed.
  const std::filesystem::path& folder() const { return folder_; }
  // Nothing before the first Install().
  std::optional<CertificateFacts> Present() const;
  // PKCS #10. The same key until its certificate is installed.
  absl::StatusOr<std::string> Request();
  // INVALID_ARGUMENT when the certificate is not one of an executor over the requested key by this authority, or when another
  // authority than the installed one signed it: a host does not change its controller by itself.
  absl::Status Install(const std::string& certificate_pem, const std::string& authority_pem);
  // Replaces the list; INVALID_ARGUMENT unless the installed authority signed it.
  absl::Status Revoke(const std::string& list_pem);
  bool IsRevoked(const std::string& serial) const;
  // PEM; empty before the first Install().
  std::string Authority() const;

 private:
  void LoadRevoked() SLIPWAY_REQUIRES(mutex_);

  const std::filesystem::path folder_;
  mutable Mutex mutex_;
  std::set<std::string> revoked_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::executor
