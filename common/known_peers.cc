#include "common/known_peers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace slipway {

void KnownPeers::Opened(const std::string& peer) {
  MutexLock lock(mutex_);
  identified_[peer] = false;
}

void KnownPeers::Closed(const std::string& peer) {
  MutexLock lock(mutex_);
  identified_.erase(peer);
}

void KnownPeers::Identified(const std::string& peer) {
  if (!absl::StartsWith(peer, "ipv")) return;
  // gRPC writes the brackets of IPv6 as in a URI.
  const std::string plain = absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
  MutexLock lock(mutex_);
  const auto found = identified_.find(plain);
  if (found != identified_.end()) found->second = true;
}

bool KnownPeers::IsIdentified(const std::string& peer) const {
  MutexLock lock(mutex_);
  const auto found = identified_.find(peer);
  return found != identified_.end() && found->second;
}

}  // namespace slipway
