// A gRPC server on a unix socket or a TLS port with the settings that both daemons share: health on, reflection for callers with an
// identity, messages of at most 1 MiB and a little, keepalive floors that our clients keep; threads, memory, streams and connections
// are bounded.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "common/connection_acceptor.h"
#include "common/known_peers.h"
#include "common/standard_services.h"

namespace slipway {

// The largest message either side accepts: 1 MiB for the largest field and 64 KiB for what surrounds it.
inline constexpr int kMaxMessageBytes = (1 << 20) + (64 << 10);

// They outlive the server.
struct UserServices {
  std::vector<grpc::Service*> services;
  // See GrpcServerOptions.
  AdmitCall admit;
};

struct GrpcServerOptions {
  // ADDRESS:PORT with the credentials below; empty for a unix socket.
  std::string listen;
  std::shared_ptr<grpc::ServerCredentials> credentials;
  // A client of this age is asked to connect anew, which it does without losing a call: so it shows its present certificate.
  // 0 for no limit.
  std::chrono::milliseconds connection_age{0};
  // Path of the unix socket. Its folder is made 0750 when absent; a stale socket is replaced, a live one is an error.
  std::string socket;
  // Of the socket; who may open it may call it.
  mode_t socket_mode = 0660;
  // The services' full names, for health and reflection.
  std::vector<std::string> names;
  // Asked before reflection; without it there is none.
  AdmitCall admit;
  // Tells peers with an identity from others, who are bounded more tightly. Null where all have one: on a port that asks for
  // certificates, or a socket whose openers are trusted.
  std::shared_ptr<KnownPeers> known_peers;
  ConnectionLimits limits;
  // Calls at a time that need a thread; those above get RESOURCE_EXHAUSTED.
  int threads = 256;
  // For a unix socket whose users are told apart, by the kernel's word on who has connected: the services for one user's calls. Asked at
  // the first connection of each, on a thread of the server's. Null: the services of StartGrpcServer() are for all.
  std::function<UserServices(uid_t)> for_user;
  // Called before the server is built: for interceptors.
  std::function<void(grpc::ServerBuilder&)> configure;
};

class GrpcServer {
 public:
  // Cuts the calls under way.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // Takes no new connections and calls; those under way are cut at the deadline.
  void Shutdown(std::chrono::system_clock::time_point deadline);
  // After Shutdown(): until the last call has ended.
  void Wait();

 private:
  friend absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
      const GrpcServerOptions& options, const std::vector<grpc::Service*>& services);
  // A server of gRPC's own, which has no listener: gRPC does not tell which connection a call came by.
  struct Part {
    std::vector<std::unique_ptr<grpc::Service>> standard_services;
    std::unique_ptr<grpc::Server> server;
    std::unique_ptr<ConnectionAcceptor::Sink> sink;
  };

  explicit GrpcServer(GrpcServerOptions options) : options_(std::move(options)) {}
  absl::StatusOr<Part> Build(const UserServices& served) const;
  // Null when there are too many users.
  ConnectionAcceptor::Sink* SinkOf(std::optional<uid_t> user);

  const GrpcServerOptions options_;
  // Touched by the acceptor's thread while there is one. Nobody is everybody.
  std::map<std::optional<uid_t>, Part> parts_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
};

// Listens and serves until the server is shut down. The services must outlive it.
absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services);

// As many open connections as the system lets this process have: gRPC stops accepting for good when they run out.
void RaiseFileLimit();

// Blocks until SIGTERM or SIGINT, which must not have been handled or unblocked elsewhere: call BlockStopSignals() before
// the first thread starts.
void BlockStopSignals();
void WaitForStopSignal();

}  // namespace slipway
