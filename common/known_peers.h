// Which open connections of a listener have shown an identity. The listener's acceptor adds and removes connections, the one who
// checks identities marks them, and the acceptor ends those that were not marked in time.
#pragma once

#include <string>
#include <unordered_map>

#include "common/mutex.h"

namespace slipway {

// Safe from several threads. Peers are named as grpc::ServerContext::peer() does: ipv4:192.0.2.1:4711, ipv6:[2001:db8::1]:4711.
class KnownPeers {
 public:
  void Opened(const std::string& peer);
  void Closed(const std::string& peer);
  // Of a connection that is not open, or not counted here, nothing is remembered.
  void Identified(const std::string& peer);
  bool IsIdentified(const std::string& peer) const;

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::string, bool> identified_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway
