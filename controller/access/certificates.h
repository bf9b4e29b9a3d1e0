// The controller's own certificate authority, or the files that stand in its place, and every certificate that was made.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "common/tls.h"
#include "common/x509.h"
#include "controller/store/store.h"

#include "slipway/config/v1/config.pb.h"
#include "slipway/v1/access.pb.h"

namespace slipway::controller {

// Safe from several threads.
class Certificates {
 public:
  // Makes the authority in `folder` at the first start, and a certificate for the controller itself.
  static absl::StatusOr<std::unique_ptr<Certificates>> Open(
      const std::filesystem::path& folder, const slipway::config::v1::ControllerTls& config,
      Store& store, Clock& clock);

  // Key and certificate of the built-in authority, in this folder.
  static std::vector<std::filesystem::path> AuthorityFiles(const std::filesystem::path& folder);

  // What the controller shows as server and as client.
  const TlsFiles& Files() const { return files_; }
  // False with files of your own: no certificate can be made then.
  bool HasAuthority() const { return authority_.has_value(); }
  // PEM.
  absl::StatusOr<std::string> AuthorityPem() const;
  std::chrono::seconds Life() const { return life_; }

  struct Issued {
    pb::Certificate certificate;
    std::string pem;
  };
  // FAILED_PRECONDITION (reason NO_AUTHORITY) with files of your own.
  absl::StatusOr<Issued> Issue(const std::string& request_pem, const Principal& principal,
                               const Actor& actor);
  // The next of its line, for the same principal. UNAUTHENTICATED when `present` is revoked meanwhile.
  absl::StatusOr<Issued> Renew(const std::string& request_pem, const CertificateFacts& present,
                               const Actor& actor);
  // UNAUTHENTICATED (reason CERTIFICATE_REVOKED).
  absl::Status CheckNotRevoked(const CertificateFacts& facts);
  absl::StatusOr<std::vector<pb::Certificate>> List(const std::string& after, int limit);
  // Whoever has a certificate can have renewed it, so what was made after it in its line is revoked with it; of a host, all that
  // were made for it so far. Answers all that are revoked by this call.
  absl::StatusOr<std::vector<pb::Certificate>> Revoke(const std::string& serial,
                                                      const Actor& actor);
  // All that must be refused, and as the signed list that executors are sent.
  absl::StatusOr<std::vector<pb::Certificate>> Revoked();
  absl::StatusOr<std::string> RevocationList(const std::vector<pb::Certificate>& revoked) const;

  // A new certificate for the controller when two thirds of the present one's life are over; true when there is one.
  absl::StatusOr<bool> RenewOwn();

  // When the controller's own certificate ends; nothing when it cannot be read.
  std::optional<Time> OwnEnds() const;

  absl::StatusOr<std::string> Sign(const std::string& bytes) const;

 private:
  Certificates(std::filesystem::path folder, std::chrono::seconds life, Store& store, Clock& clock)
      : folder_(std::move(folder)), life_(life), store_(store), clock_(clock) {}
  absl::Status OpenAuthority();
  absl::StatusOr<Issued> IssueInLine(const std::string& request_pem, const Principal& principal,
                                     const std::string& line, const Actor& actor);
  absl::StatusOr<std::vector<pb::Certificate>> All();
  absl::Status MarkRevoked(pb::Certificate& certificate, const Actor& actor);

  const std::filesystem::path folder_;
  const std::chrono::seconds life_;
  Store& store_;
  Clock& clock_;
  TlsFiles files_;
  std::optional<Authority> authority_;
};

// Two thirds of its life are over, or it would live longer than certificates are to live by now.
bool IsDueForRenewal(WallTime ends, std::chrono::seconds life, WallTime now);

}  // namespace slipway::controller
