#include "executor/server.h"

#include <optional>
#include <utility>

#include <malloc.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/tls.h"
#include "executor/api/executor_service.h"
#include "executor/doctor.h"
#include "executor/drift_keeper.h"
#include "executor/drivers/compose_workload.h"
#include "executor/drivers/docker_engine.h"
#include "executor/executor_id.h"
#include "executor/host_watch.h"
#include "executor/process/process_runner.h"
#include "executor/remove_release.h"
#include "executor/warm_keeper.h"

namespace slipway::executor {
namespace {

NginxOptions OptionsOf(const config::v1::ExecutorConfig& config) {
  NginxOptions options;
  options.test.assign(config.nginx().test().begin(), config.nginx().test().end());
  options.reload.assign(config.nginx().reload().begin(), config.nginx().reload().end());
  options.pid_file = config.nginx().pid_file();
  options.error_log = config.nginx().error_log();
  options.address = config.address();
  return options;
}

// Members in the order in which they depend on each other; they are destroyed the other way round.
class RunningServer final : public Server {
 public:
  RunningServer(const config::v1::ExecutorConfig& config,
                std::unique_ptr<SystemProcessRunner> runner, std::unique_ptr<Journal> journal,
                std::unique_ptr<ReleaseStore> releases, const ComposeCli& compose,
                const std::string& executor_id)
      : paths_(config.state(), config.sites()),
        runner_(std::move(runner)),
        journal_(std::move(journal)),
        releases_(std::move(releases)),
        engine_(config.docker_socket()),
        workload_(compose, engine_, *releases_, paths_, config.address(), executor_id),
        site_(*releases_, SystemClock(), paths_),
        nginx_(*runner_, SystemClock(), OptionsOf(config)),
        health_(workload_, SystemClock()),
        steps_({*journal_,
                *releases_,
                workload_,
                site_,
                nginx_,
                health_,
                SystemClock(),
                paths_,
                ProcReader(),
                {config.address(), config.first_proof_port(), HostSettings().least_free_bytes,
                 compose.Version()}}),
        watch_(*journal_, SystemClock()),
        operations_(
            *journal_, SystemClock(),
            [this](const auto& request, const auto& call) { return steps_.Run(request, call); },
            [this] {
              // Idle nearly always: what a step needed goes back to the system.
              malloc_trim(0);
              watch_.Changed();
            }),
        credentials_(paths_.Tls()),
        doctor_(engine_, *runner_, OptionsOf(config),
                {config.remove_release().begin(), config.remove_release().end()}, steps_, paths_,
                compose.Version(), credentials_),
        local_(Gate(Gate::Side::kSocket, credentials_, SystemClock()), Parts()),
        remote_(Gate(Gate::Side::kNetwork, credentials_, SystemClock()), Parts()) {}

  ~RunningServer() override {
    watch_.Stop();
    // Before the servers: a handler waits for its step.
    operations_.Suspend();
    for (auto* server : {&tls_, &grpc_}) {
      if (*server != nullptr) (*server)->Shutdown(std::chrono::system_clock::now());
    }
  }

  absl::Status Serve(const config::v1::ExecutorConfig& config) {
    steps_.Recover();
    warm_keeper_.emplace(*journal_, operations_, steps_, watch_);
    drift_keeper_.emplace(*journal_, operations_, steps_, watch_);
    GrpcServerOptions options;
    options.socket = config.socket();
    options.names = {xpb::ExecutorService::service_full_name()};
    options.admit = [](const auto&, const auto&) { return absl::OkStatus(); };
    SLIPWAY_ASSIGN_OR_RETURN(grpc_, StartGrpcServer(options, {&local_}));
    SLIPWAY_RETURN_IF_ERROR(ListenOnTls(config.tls_listen()));
    LogInfo("executor serves", {{"socket", config.socket()}, {"state", config.state()}});
    return absl::OkStatus();
  }

 private:
  ServiceParts Parts() {
    return {*journal_, operations_, steps_,       *releases_, nginx_,
            watch_,    doctor_,     credentials_, paths_};
  }

  absl::Status ListenOnTls(const std::string& where) {
    if (where.empty()) return absl::OkStatus();
    const auto present = credentials_.Present();
    if (!present) {
      LogWarning("not enrolled yet: nothing is served on the network",
                 {{"tls_listen", where}, {"cure", "slipway hosts add"}});
      return absl::OkStatus();
    }
    GrpcServerOptions options;
    options.listen = where;
    options.connection_age = ConnectionAge(present->not_after - present->not_before);
    options.credentials = TlsServer(FilesIn(credentials_.folder()), /*required=*/true);
    SLIPWAY_ASSIGN_OR_RETURN(tls_, StartGrpcServer(options, {&remote_}));
    LogInfo("executor serves", {{"tls", where}});
    return absl::OkStatus();
  }

  const Paths paths_;
  std::unique_ptr<SystemProcessRunner> runner_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ReleaseStore> releases_;
  DockerEngine engine_;
  ComposeWorkload workload_;
  StaticSite site_;
  NginxDriver nginx_;
  HealthGate health_;
  Steps steps_;
  HostWatch watch_;
  Operations operations_;
  Credentials credentials_;
  Doctor doctor_;
  ExecutorService local_;
  ExecutorService remote_;
  std::optional<WarmKeeper> warm_keeper_;
  std::optional<DriftKeeper> drift_keeper_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<GrpcServer> tls_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const config::v1::ExecutorConfig& config) {
  RaiseFileLimit();
  const Paths paths(config.state(), config.sites());
  SLIPWAY_ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal, Journal::Open(paths.Journal()));
  SLIPWAY_ASSIGN_OR_RETURN(std::unique_ptr<ReleaseStore> releases, ReleaseStore::Open(paths));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(paths.Sites(), 0755));
  auto runner = std::make_unique<SystemProcessRunner>();
  if (!config.remove_release().empty()) {
    releases->SetRemover(
        RemoverBy(*runner, {config.remove_release().begin(), config.remove_release().end()}));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ComposeCli compose,
                           ComposeCli::Detect(*runner, config.docker_socket(),
                                              {config.compose().begin(), config.compose().end()}));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string executor_id, ReadOrMakeExecutorId(paths));
  auto server = std::make_unique<RunningServer>(config, std::move(runner), std::move(journal),
                                                std::move(releases), compose, executor_id);
  SLIPWAY_RETURN_IF_ERROR(server->Serve(config));
  return server;
}

}  // namespace slipway::executor
