#include "common/grpc_server.h"

#include <algorithm>
#include <csignal>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include "common/status.h"

namespace slipway {

namespace {

// Of what one listener's connections keep in memory: above it gRPC reads more slowly, then ends the calls that keep most.
constexpr size_t kListenerBytes = 256 << 20;
// Of one connection; a dashboard may watch many deployments.
constexpr int kStreams = 200;

// Those of the caller, and no more than descriptors allow: each connection takes two, so a listener takes a quarter of them at most,
// and the others go on when one is flooded.
ConnectionLimits LimitsOf(const GrpcServerOptions& options) {
  ConnectionLimits limits = options.limits;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    limits.connections = std::min<size_t>(limits.connections, files.rlim_cur / 8);
  }
  return limits;
}

void SetLimits(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (options.connection_age.count() > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               static_cast<int>(options.connection_age.count()));
  }
  // Who connects and says nothing is sent away.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreams);
  grpc::ResourceQuota quota(options.listen.empty() ? options.socket : options.listen);
  quota.SetMaxThreads(options.threads);
  quota.Resize(kListenerBytes);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
}

}  // namespace

GrpcServer::~GrpcServer() { Shutdown(std::chrono::system_clock::now()); }

void GrpcServer::Shutdown(std::chrono::system_clock::time_point deadline) {
  if (acceptor_ != nullptr && !socket_.empty()) unlink(socket_.c_str());
  acceptor_.reset();
  server_->Shutdown(deadline);
}

void GrpcServer::Wait() { server_->Wait(); }

absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services) {
  const bool is_unix = options.listen.empty();
  SLIPWAY_ASSIGN_OR_RETURN(
      auto listeners, is_unix
                          ? ConnectionAcceptor::ListenOnSocket(options.socket, options.socket_mode)
                          : ConnectionAcceptor::ListenOnTcp(options.listen));
  std::unique_ptr<GrpcServer> started(new GrpcServer());
  if (is_unix) started->socket_ = options.socket;
  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  auto sink = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      is_unix ? grpc::InsecureServerCredentials() : options.credentials);
  for (grpc::Service* service : services) builder.RegisterService(service);
  started->standard_services_.push_back(HealthService(options.names));
  if (options.admit) {
    started->standard_services_.push_back(ReflectionService(options.names, options.admit));
  }
  for (const auto& service : started->standard_services_) builder.RegisterService(service.get());
  if (options.configure) options.configure(builder);
  started->server_ = builder.BuildAndStart();
  if (started->server_ == nullptr) {
    return Error(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                 absl::StrCat("gRPC cannot serve ", is_unix ? options.socket : options.listen),
                 "its own lines in the log say why");
  }
  started->acceptor_ = std::make_unique<ConnectionAcceptor>(std::move(listeners), std::move(sink),
                                                            LimitsOf(options), options.known_peers);
  return started;
}

namespace {
sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}
}  // namespace

void RaiseFileLimit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  // More than that is nobody's connections, and makes some programs slow that close all they could have.
  constexpr rlim_t kEnough = 65536;
  files.rlim_cur = std::max(files.rlim_cur, std::min(files.rlim_max, kEnough));
  setrlimit(RLIMIT_NOFILE, &files);
}

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void WaitForStopSignal() {
  const sigset_t signals = StopSignals();
  int signal_number = 0;
  sigwait(&signals, &signal_number);
}

}  // namespace slipway
