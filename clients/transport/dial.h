// One way to dial, three ways to get there (address.h). Both hops use it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include <grpcpp/channel.h>

#include "clients/transport/address.h"
#include "clients/transport/ssh_session.h"
#include "common/mutex.h"
#include "common/tls.h"

namespace slipway {

class SshTunnel;

// A channel with what keeps it alive. The channel connects with its first call and reconnects by itself: 100 ms after a loss,
// at most 2 s apart. Keepalive finds a dead peer within 25 s.
class Link {
 public:
  Link(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<SshTunnel> tunnel)
      : channel_(std::move(channel)), tunnel_(std::move(tunnel)) {}

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Brings up what the channel goes through, and says what is wrong with it where gRPC would only say that a socket was
  // closed: the SSH session, its host key, its keys. At once when nothing is to be done.
  absl::Status Prepare();
  // What was last wrong there; OK when nothing is known to be.
  absl::Status Problem() const;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::shared_ptr<SshTunnel> tunnel_;
};

// What is needed on the way, besides the address.
struct DialOptions {
  SshOptions ssh;
  TlsFiles tls;
  // Who must answer a tls:// address: the URI in its certificate.
  std::string tls_peer;
  // May refuse that certificate all the same, a revoked one for instance; may be empty.
  CertificateCheck tls_check;
  // The largest message that is taken from there. A client takes more from its controller, whose answers are as long as its fleet.
  // 0: as much as a daemon takes itself.
  int max_answer_bytes = 0;
  // Where relays of SSH tunnels stand; a new folder is made in it.
  std::string relay_folder = "/tmp";
};

// Links to one machine with the same options share one SSH session, those with the same certificates one watch over them. Safe from several threads.
class Dialer {
 public:
  // INVALID_ARGUMENT for a TLS address without certificates. Connects nowhere yet.
  absl::StatusOr<std::shared_ptr<Link>> Dial(const Address& address, const DialOptions& options);

 private:
  absl::StatusOr<std::shared_ptr<SshTunnel>> TunnelTo(const Address& address,
                                                      const DialOptions& options);
  struct WatchedTls {
    // Past the link that a new certificate replaces (PublishCredentials()).
    std::filesystem::path stands_in;
    TlsClients clients;
  };
  absl::StatusOr<TlsClients> ClientsWith(const TlsFiles& files);
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<SshTunnel>> tunnels_ SLIPWAY_GUARDED_BY(mutex_);
  // One for all hosts: each looks at its files once a second.
  std::map<TlsFiles, WatchedTls> tls_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway
