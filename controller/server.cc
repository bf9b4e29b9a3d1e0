#include "controller/server.h"

#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <grpcpp/server.h>

#include "common/blob_store.h"
#include "common/cancellation.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/status.h"
#include "controller/api/applications_service.h"
#include "controller/api/deployments_service.h"
#include "controller/api/hosts_service.h"
#include "controller/api/preview.h"
#include "controller/api/releases_service.h"
#include "controller/catalog/applications.h"
#include "controller/catalog/releases.h"
#include "controller/fleet/fleet.h"
#include "controller/metrics.h"
#include "controller/metrics_http.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/event_hub.h"
#include "controller/store/secret_box.h"
#include "controller/store/sqlite_store.h"

namespace slipway::controller {
namespace {

using Config = slipway::config::v1::ControllerConfig;

void ApplyDefaults(Config& config) {
  if (config.state().empty()) config.set_state("/var/lib/slipway/controller");
  if (config.socket().empty()) config.set_socket("/run/slipway/controller.sock");
  if (config.metrics_address().empty()) config.set_metrics_address("127.0.0.1:9780");
}

// Held as long as the descriptor is open, and not a moment longer, however the process ends.
absl::StatusOr<UniqueFd> LockState(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "lock";
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoError(absl::StrCat("open ", file.string()));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_IN_USE",
                 absl::StrCat("another controller uses ", folder.string()),
                 "stop it, or give this one another state folder");
  }
  return fd;
}

}  // namespace

// In the order in which they come up; destroyed the other way round.
struct Server::Parts {
  UniqueFd lock;
  Metrics metrics;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<SecretBox> box;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<Fleet> fleet;
  EventHub hub;
  std::unique_ptr<Applications> applications;
  std::unique_ptr<Releases> releases;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Admission> admission;
  std::unique_ptr<Preview> preview;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<MetricsHttp> http;
  std::unique_ptr<grpc::Server> server;
  Cancellation stop;
  std::thread housekeeping;

  ~Parts();
  absl::Status Open(const Config& config);
  void Assemble();
  absl::Status Serve(const Config& config);
  EngineParts Connections();
  // Once a day until stopped.
  void KeepHouse();
};

absl::Status Server::Parts::Open(const Config& config) {
  const std::filesystem::path state = config.state();
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(state));
  SLIPWAY_ASSIGN_OR_RETURN(lock, LockState(state));
  SLIPWAY_ASSIGN_OR_RETURN(blobs, BlobStore::Open(state / "blobs"));
  SLIPWAY_ASSIGN_OR_RETURN(box, SecretBox::Open(state / "key"));
  SLIPWAY_ASSIGN_OR_RETURN(store,
                           SqliteStore::Open(state / "state.db", SystemClock(),
                                             [this](auto time) { metrics.Committed(time); }));
  if (const absl::Status intact = store->VerifyHistory(); !intact.ok()) {
    LogError("the history is broken", {{"problem", std::string(intact.message())}});
  }
  DialOptions dial;
  fleet = std::make_unique<Fleet>(std::move(dial), *store, *blobs, SystemClock());
  for (const auto& host : config.hosts()) {
    SLIPWAY_RETURN_IF_ERROR(fleet->Put({host.name(),
                                        host.address(),
                                        {host.labels().begin(), host.labels().end()},
                                        "",
                                        /*configured=*/true}));
  }
  return absl::OkStatus();
}

EngineParts Server::Parts::Connections() {
  EngineParts parts;
  parts.host = [this](const std::string& host) { return fleet->Client(host); };
  parts.environment = [this](const std::string& app, uint64_t revision) {
    return applications->EnvironmentText(app, revision);
  };
  parts.step_ended = [this](const DeploymentRecord& deployment, const std::string&,
                            const StepRecord& step) { metrics.StepEnded(deployment, step); };
  parts.deployment_ended = [this](const DeploymentRecord& deployment) {
    const auto release = store->GetRelease(deployment.app, deployment.release);
    metrics.DeploymentEnded(deployment,
                            release.ok() ? release->commit_time : std::optional<Time>());
  };
  parts.progressed = [this](const DeploymentRecord& deployment) {
    metrics.Progressed(deployment.app, SystemClock().WallNow());
  };
  return parts;
}

void Server::Parts::Assemble() {
  const auto host = [this](const std::string& name) -> std::shared_ptr<ExecutorClient> {
    return fleet->Client(name);
  };
  applications = std::make_unique<Applications>(*store, *box);
  releases = std::make_unique<Releases>(*store, *blobs, *applications, *box, SystemClock());
  engine = std::make_unique<Engine>(*store, hub, SystemClock(), Connections());
  admission = std::make_unique<Admission>(*store, *engine, host, SystemClock());
  preview = std::make_unique<Preview>(*store, *applications, *releases, *admission, host);
  services.push_back(std::make_unique<ApplicationsService>(*store, *applications, *box, *fleet));
  services.push_back(std::make_unique<ReleasesService>(*store, *releases, *blobs));
  services.push_back(
      std::make_unique<DeploymentsService>(*store, *admission, *preview, hub, *fleet));
  services.push_back(
      std::make_unique<HostsService>(*store, *fleet, SLIPWAY_VERSION, SystemClock().WallNow()));
}

absl::Status Server::Parts::Serve(const Config& config) {
  SLIPWAY_ASSIGN_OR_RETURN(const int resumed, engine->Resume());
  metrics.Resumed(resumed);
  if (config.metrics_address() != "off") {
    SLIPWAY_ASSIGN_OR_RETURN(http, MetricsHttp::Start(config.metrics_address(), [this] {
                               for (const HostConfig& host : fleet->Hosts()) {
                                 metrics.Host(host.name, fleet->Observe(host.name));
                               }
                               return metrics.Text();
                             }));
  }
  GrpcServerOptions options;
  options.socket = config.socket();
  options.configure = [this](grpc::ServerBuilder& builder) { metrics.Intercept(builder); };
  std::vector<grpc::Service*> served;
  for (const auto& service : services) served.push_back(service.get());
  SLIPWAY_ASSIGN_OR_RETURN(server, StartGrpcServer(options, served));
  housekeeping = std::thread([this] { KeepHouse(); });
  return absl::OkStatus();
}

void Server::Parts::KeepHouse() {
  do {
    const auto freed = releases->RemoveUnusedBlobs();
    if (!freed.ok()) {
      LogError("cannot remove unused files", {{"problem", std::string(freed.status().message())}});
    } else if (*freed > 0) {
      LogInfo("unused files removed", {{"bytes", absl::StrCat(*freed)}});
    }
  } while (!stop.WaitFor(std::chrono::hours(24)));
}

Server::Parts::~Parts() {
  stop.Cancel();
  if (housekeeping.joinable()) housekeeping.join();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Config config) {
  ApplyDefaults(config);
  auto parts = std::make_unique<Parts>();
  SLIPWAY_RETURN_IF_ERROR(parts->Open(config));
  parts->Assemble();
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  SLIPWAY_RETURN_IF_ERROR(server->parts_->Serve(config));
  LogInfo("controller ready", {{"version", SLIPWAY_VERSION}, {"socket", config.socket()}});
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  // Deployments stop between two steps or in the middle of one; the next start resumes them.
  parts_->engine->Stop();
  parts_->fleet->Shutdown();
  // Watchers have no end of their own: after a moment their calls are cut.
  if (parts_->server != nullptr) {
    parts_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
    parts_->server->Wait();
  }
}

int Server::MetricsPort() const { return parts_->http == nullptr ? 0 : parts_->http->Port(); }

}  // namespace slipway::controller
