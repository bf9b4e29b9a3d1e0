// A gRPC server on a unix socket or a TLS port with the settings that both daemons share: health and reflection on, messages of at most
// 1 MiB and a little, keepalive floors that our clients keep, bounded threads.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace slipway {

// The largest message either side accepts: 1 MiB for the largest field and 64 KiB for what surrounds it.
inline constexpr int kMaxMessageBytes = (1 << 20) + (64 << 10);

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
  // Called before the server is built: for interceptors.
  std::function<void(grpc::ServerBuilder&)> configure;
};

// Listens and serves until the server is shut down. The services must outlive it.
absl::StatusOr<std::unique_ptr<grpc::Server>> StartGrpcServer(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services);

// As many open connections as the system lets this process have: gRPC stops accepting for good when they run out.
void RaiseFileLimit();

// Blocks until SIGTERM or SIGINT, which must not have been handled or unblocked elsewhere: call BlockStopSignals() before
// the first thread starts.
void BlockStopSignals();
void WaitForStopSignal();

}  // namespace slipway
