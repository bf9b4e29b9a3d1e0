#include "clients/transport/dial.h"

#include "absl/strings/str_cat.h"
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "clients/transport/ssh_tunnel.h"
#include "common/file.h"
#include "common/grpc_server.h"
#include "common/status.h"

namespace slipway {
namespace {

grpc::ChannelArguments Arguments(const DialOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Also the time a connect may take, so not shorter.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A channel of its own: two clients of one address do not share a broken connection's back-off.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // What is sent by TLS at a time; each connection keeps several buffers of this size. The default of 16 KiB costs 31 KiB more for
  // each host; in transport_bench an upload differs by no more than its runs do.
  arguments.SetInt(GRPC_ARG_TSI_MAX_FRAME_SIZE, 4096);
  arguments.SetMaxReceiveMessageSize(options.max_answer_bytes == 0 ? kMaxMessageBytes
                                                                   : options.max_answer_bytes);
  return arguments;
}

std::string Target(const Address& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return absl::StrCat(is_v6 ? "[" : "", address.host, is_v6 ? "]:" : ":", address.port);
}

// The server's certificate must be for the host's name, and of an authority that this machine trusts, or of the one that is named.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> WebCredentials(const TlsFiles& files) {
  grpc::SslCredentialsOptions options;
  if (!files.authority.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(files.authority));
  }
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> UnixChannel(const std::string& path, const DialOptions& options) {
  return grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(),
                                   Arguments(options));
}

}  // namespace

absl::Status Link::Prepare() { return tunnel_ == nullptr ? absl::OkStatus() : tunnel_->Prepare(); }

absl::Status Link::Problem() const {
  return tunnel_ == nullptr ? absl::OkStatus() : tunnel_->Problem();
}

absl::StatusOr<std::shared_ptr<SshTunnel>> Dialer::TunnelTo(const Address& address,
                                                            const DialOptions& options) {
  // What is pinned is part of what a session may be shared for.
  const std::string key = absl::StrCat(address.user, "@", address.host, ":", address.port, " ",
                                       options.ssh.pinned_key, " ", options.ssh.pinned_fingerprint);
  MutexLock lock(mutex_);
  std::weak_ptr<SshTunnel>& known = tunnels_[key];
  if (std::shared_ptr<SshTunnel> tunnel = known.lock()) return tunnel;
  SLIPWAY_ASSIGN_OR_RETURN(std::shared_ptr<SshTunnel> tunnel,
                           SshTunnel::Start({address.user, address.host, address.port}, options.ssh,
                                            options.relay_folder));
  known = tunnel;
  return tunnel;
}

absl::StatusOr<TlsClients> Dialer::ClientsWith(const TlsFiles& files) {
  // A watch may be a second behind, and what is dialled now has to show what is there now.
  std::error_code unknown;
  const auto stands_in = std::filesystem::weakly_canonical(
      files.certificate.empty() ? files.authority : files.certificate, unknown);
  MutexLock lock(mutex_);
  const auto known = tls_.find(files);
  if (known != tls_.end() && known->second.stands_in == stands_in) return known->second.clients;
  SLIPWAY_ASSIGN_OR_RETURN(TlsClients clients, TlsClients::Watch(files));
  return tls_.insert_or_assign(files, WatchedTls{stands_in, std::move(clients)})
      .first->second.clients;
}

absl::StatusOr<std::shared_ptr<Link>> Dialer::Dial(const Address& address,
                                                   const DialOptions& options) {
  switch (address.scheme) {
    case Scheme::kUnix:
      return std::make_shared<Link>(UnixChannel(address.path, options), nullptr);
    case Scheme::kSsh: {
      SLIPWAY_ASSIGN_OR_RETURN(std::shared_ptr<SshTunnel> tunnel, TunnelTo(address, options));
      SLIPWAY_ASSIGN_OR_RETURN(const std::string path, tunnel->Relay(address.path));
      return std::make_shared<Link>(UnixChannel(path, options), std::move(tunnel));
    }
    case Scheme::kTls: {
      SLIPWAY_ASSIGN_OR_RETURN(const TlsClients clients, ClientsWith(options.tls));
      return std::make_shared<Link>(
          grpc::CreateCustomChannel(Target(address),
                                    clients.For(options.tls_peer, options.tls_check),
                                    Arguments(options)),
          nullptr);
    }
    case Scheme::kHttps: {
      SLIPWAY_ASSIGN_OR_RETURN(const auto credentials, WebCredentials(options.tls));
      return std::make_shared<Link>(
          grpc::CreateCustomChannel(Target(address), credentials, Arguments(options)), nullptr);
    }
  }
  return absl::InternalError("an address of no scheme");
}

}  // namespace slipway
