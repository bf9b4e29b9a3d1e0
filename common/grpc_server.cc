#include "common/grpc_server.h"

#include <algorithm>
#include <csignal>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include "common/logging.h"
#include "common/status.h"
#include "common/thread.h"

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
  if (acceptor_ != nullptr && options_.listen.empty()) unlink(options_.socket.c_str());
  acceptor_.reset();
  for (auto& [user, part] : parts_) part.server->Shutdown(deadline);
}

void GrpcServer::Wait() {
  for (auto& [user, part] : parts_) part.server->Wait();
}

absl::StatusOr<GrpcServer::Part> GrpcServer::Build(const UserServices& served) const {
  Part part;
  grpc::ServerBuilder builder;
  SetLimits(options_, builder);
  part.sink = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      options_.listen.empty() ? grpc::InsecureServerCredentials() : options_.credentials);
  for (grpc::Service* service : served.services) builder.RegisterService(service);
  part.standard_services.push_back(HealthService(options_.names));
  if (served.admit) {
    part.standard_services.push_back(ReflectionService(options_.names, served.admit));
  }
  for (const auto& service : part.standard_services) builder.RegisterService(service.get());
  if (options_.configure) options_.configure(builder);
  part.server = builder.BuildAndStart();
  if (part.server != nullptr) return part;
  return Error(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
               absl::StrCat("gRPC cannot serve ",
                            options_.listen.empty() ? options_.socket : options_.listen),
               "its own lines in the log say why");
}

ConnectionAcceptor::Sink* GrpcServer::SinkOf(std::optional<uid_t> user) {
  if (!options_.for_user) return parts_.begin()->second.sink.get();
  // Those who may open an operators' socket are few; each has threads of its own.
  constexpr size_t kMostUsers = 32;
  const auto known = parts_.find(user);
  if (known != parts_.end()) return known->second.sink.get();
  if (!user || parts_.size() >= kMostUsers) return nullptr;
  // gRPC ends the process when it has no thread for a new server.
  absl::StatusOr<std::thread> possible = StartThread([] {});
  if (possible.ok()) possible->join();
  absl::StatusOr<Part> part = possible.ok() ? Build(options_.for_user(*user)) : possible.status();
  if (!part.ok()) {
    LogError("a user of the socket cannot be served",
             {{"socket", options_.socket}, {"problem", std::string(part.status().message())}});
    return nullptr;
  }
  return parts_.emplace(user, *std::move(part)).first->second.sink.get();
}

absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services) {
  SLIPWAY_ASSIGN_OR_RETURN(
      auto listeners, options.listen.empty()
                          ? ConnectionAcceptor::ListenOnSocket(options.socket, options.socket_mode)
                          : ConnectionAcceptor::ListenOnTcp(options.listen));
  std::unique_ptr<GrpcServer> started(new GrpcServer(options));
  if (!options.for_user) {
    SLIPWAY_ASSIGN_OR_RETURN(started->parts_[std::nullopt],
                             started->Build({services, options.admit}));
  }
  started->acceptor_ = std::make_unique<ConnectionAcceptor>(
      std::move(listeners),
      [server = started.get()](std::optional<uid_t> user) { return server->SinkOf(user); },
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
