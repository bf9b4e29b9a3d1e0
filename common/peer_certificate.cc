#include "common/peer_certificate.h"

#include <map>
#include <string>

#include <grpc/grpc_security_constants.h>

#include "common/mutex.h"
#include "common/status.h"

namespace slipway {
namespace {

// Reading a certificate costs more than most calls; a process has few callers, each with one at a time.
class Cache {
 public:
  absl::StatusOr<CertificateFacts> Read(const std::string& pem) {
    constexpr size_t kMost = 4096;
    {
      MutexLock lock(mutex_);
      const auto found = known_.find(pem);
      if (found != known_.end()) return found->second;
    }
    auto facts = ReadCertificate(pem);
    MutexLock lock(mutex_);
    if (known_.size() >= kMost) known_.clear();
    known_.emplace(pem, facts);
    return facts;
  }

 private:
  Mutex mutex_;
  std::map<std::string, absl::StatusOr<CertificateFacts>> known_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::optional<CertificateFacts>> PeerCertificate(
    const grpc::ServerContextBase& context, WallTime now) {
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return std::nullopt;
  const auto pems = auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pems.size() != 1) return std::nullopt;
  static auto* const cache = new Cache();
  const auto facts = cache->Read(std::string(pems[0].data(), pems[0].size()));
  if (!facts.ok()) {
    return Error(absl::StatusCode::kUnauthenticated, "BAD_CERTIFICATE", facts.status().message(),
                 "use one that `slipway certificate create NAME` made");
  }
  if (now > facts->not_after) {
    return Error(absl::StatusCode::kUnauthenticated, "CERTIFICATE_EXPIRED",
                 "the certificate of this connection has ended", "connect with a renewed one");
  }
  return std::optional<CertificateFacts>(*facts);
}

}  // namespace slipway
