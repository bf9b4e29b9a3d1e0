#include "controller/server.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/blob_store.h"
#include "common/clock.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/status.h"
#include "controller/access/audit.h"
#include "controller/access/certificates.h"
#include "controller/access/upkeep.h"
#include "controller/api/front.h"
#include "controller/backup.h"
#include "controller/candidate.h"
#include "controller/catalog/applications.h"
#include "controller/catalog/releases.h"
#include "controller/catalog/upload_quota.h"
#include "controller/config.h"
#include "controller/fleet/convergence.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/host_registry.h"
#include "controller/fleet/reconciler.h"
#include "controller/housekeeping.h"
#include "controller/metrics.h"
#include "controller/metrics_http.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/event_hub.h"
#include "controller/shared_keys.h"
#include "controller/state_folder.h"
#include "controller/store/release_files.h"
#include "controller/store/secret_box.h"
#include "controller/store/sql_store.h"
#include "controller/store/store_listener.h"

namespace slipway::controller {

using Config = slipway::config::v1::ControllerConfig;

namespace {
// What a host that has just restarted needs to be there again.
constexpr std::chrono::seconds kConnect{5};

}  // namespace

// In the order in which they come up; destroyed the other way round.
struct Server::Parts {
  UniqueFd lock;
  // This controller is the one that acts, or is just becoming it.
  std::atomic<bool> acts = false;
  // Of several controllers; hosts refuse what comes with an earlier one.
  std::atomic<uint64_t> lead = 0;
  Metrics metrics;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<SecretBox> box;
  std::unique_ptr<SqlStore> store;
  std::unique_ptr<Candidate> candidate;
  std::unique_ptr<ReleaseFiles> files;
  std::unique_ptr<Fleet> fleet;
  std::unique_ptr<Certificates> certificates;
  std::string ssh_public_key;
  std::filesystem::path state;
  std::unique_ptr<Audit> audit;
  std::unique_ptr<Upkeep> upkeep;
  std::unique_ptr<HostRegistry> registry;
  EventHub hub;
  std::unique_ptr<Applications> applications;
  std::unique_ptr<Releases> releases;
  std::unique_ptr<Checks> checks;
  std::unique_ptr<UploadQuota> upload_quota;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Admission> admission;
  std::unique_ptr<Attendance> attendance;
  std::unique_ptr<Convergence> convergence;
  std::unique_ptr<Reconciler> reconciler;
  std::unique_ptr<Preview> preview;
  std::unique_ptr<Tokens> tokens;
  std::unique_ptr<Trusts> trusts;
  std::unique_ptr<Enrolments> enrolments;
  std::unique_ptr<MetricsHttp> http;
  std::vector<std::unique_ptr<Front>> fronts;
  std::unique_ptr<StoreListener> listener;
  std::unique_ptr<Housekeeping> housekeeping;

  ~Parts();
  absl::Status Open(const Config& config);
  absl::Status OpenStore(const Config& config);
  absl::Status Connect(const Config& config);
  absl::Status Reach(const Config& config);
  absl::Status Assemble(const Config& config);
  absl::Status TakeOver(uint64_t epoch);
  absl::Status Stand(const Config& config);
  absl::Status Serve(const Config& config);
  absl::Status OpenFront(Guard::Openers openers, GrpcServerOptions options);
  EngineParts Connections();
};

absl::Status Server::Parts::Open(const Config& config) {
  const StateFolder folder(config.state());
  state = folder.Root();
  RaiseFileLimit();
  SLIPWAY_ASSIGN_OR_RETURN(lock, folder.Lock());
  SLIPWAY_ASSIGN_OR_RETURN(blobs, BlobStore::Open(folder.Blobs()));
  SLIPWAY_RETURN_IF_ERROR(OpenStore(config));
  SLIPWAY_ASSIGN_OR_RETURN(box, SecretBox::Open(folder.Key()));
  SLIPWAY_ASSIGN_OR_RETURN(certificates,
                           Certificates::Open(folder.Tls(), config.tls(), *store, SystemClock()));
  return Connect(config);
}

// A file of its own, or a database that it may share.
absl::Status Server::Parts::OpenStore(const Config& config) {
  const auto observe = [this](auto time) { metrics.Committed(time); };
  const auto options = PostgresOf(config);
  if (!options) {
    SLIPWAY_ASSIGN_OR_RETURN(store,
                             SqlStore::Open(StateFolder(state).Database(), SystemClock(), observe));
    files = std::make_unique<ReleaseFiles>(*blobs);
    return absl::OkStatus();
  }
  SLIPWAY_ASSIGN_OR_RETURN(store, SqlStore::Open(*options, SystemClock(), observe));
  files = std::make_unique<ReleaseFiles>(*blobs, *store, SystemClock());
  // Before any is made that nobody else has.
  return CheckKeysArePresent(*store, config);
}

// What reaches hosts, still without any.
absl::Status Server::Parts::Connect(const Config& config) {
  DialOptions dial;
  dial.ssh.key_files = {config.ssh().key()};
  dial.ssh.keys_must_exist = true;
  dial.ssh.known_hosts = config.ssh().known_hosts();
  dial.tls = certificates->Files();
  dial.tls_check = [this](const CertificateFacts& facts) {
    return certificates->CheckNotRevoked(facts);
  };
  dial.relay_folder = StateFolder(state).Relay();
  SLIPWAY_ASSIGN_OR_RETURN(ssh_public_key, MakeSshKey(config.ssh().key(), "slipway-controller"));
  // What a killed controller left behind.
  std::error_code ignored;
  std::filesystem::remove_all(dial.relay_folder, ignored);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(dial.relay_folder));
  fleet = std::make_unique<Fleet>(std::move(dial), *store, *files, SystemClock(),
                                  FleetEvents{[this](const std::string& host) {
                                                upkeep->Look();
                                                reconciler->Returned(host);
                                              },
                                              [this](const std::string&) { reconciler->Look(); },
                                              [this] { return acts.load(); }});
  audit = std::make_unique<Audit>(*store, *certificates, *fleet, SystemClock());
  upkeep = std::make_unique<Upkeep>(
      *certificates, *audit, *fleet, SystemClock(),
      [this](bool intact) { metrics.HistoryIntact(intact); }, [this] { return acts.load(); });
  registry = std::make_unique<HostRegistry>(*store, *fleet);
  return CheckKeysAreShared(*store, *box, *certificates, ssh_public_key);
}

// Those of the configuration, then those that were added.
absl::Status Server::Parts::Reach(const Config& config) {
  for (const auto& host : config.hosts()) {
    SLIPWAY_RETURN_IF_ERROR(fleet->Put({host.name(),
                                        host.address(),
                                        {host.labels().begin(), host.labels().end()},
                                        "",
                                        /*configured=*/true}));
  }
  return registry->Load();
}

EngineParts Server::Parts::Connections() {
  EngineParts parts;
  parts.host = [this](const std::string& host) { return fleet->Client(host); };
  parts.environment = [this](const std::string& app, uint64_t revision) {
    return applications->EnvironmentText(app, revision);
  };
  parts.lead = [this] { return lead.load(); };
  parts.allowances = [this](const std::string& app) { return applications->Allowances(app); };
  parts.step_ended = [this](const DeploymentRecord& deployment, const std::string&,
                            const StepRecord& step) { metrics.StepEnded(deployment, step); };
  parts.deployment_ended = [this](const DeploymentRecord& deployment) {
    const auto release = store->GetRelease(deployment.app, deployment.release);
    metrics.DeploymentEnded(deployment,
                            release.ok() ? release->commit_time : std::optional<Time>());
    attendance->Forget(deployment.app, deployment.id);
    upkeep->Look();
    reconciler->Look();
  };
  parts.start_next = [this](const std::string& app) { return admission->StartQueued(app); };
  parts.progressed = [this](const DeploymentRecord& deployment) {
    metrics.Progressed(deployment.app, SystemClock().WallNow());
  };
  return parts;
}

absl::Status Server::Parts::Assemble(const Config& config) {
  const auto host = [this](const std::string& name) -> std::shared_ptr<ExecutorClient> {
    return fleet->Client(name);
  };
  applications = std::make_unique<Applications>(*store, *box);
  releases = std::make_unique<Releases>(*store, *files, *applications, *box, SystemClock());
  engine = std::make_unique<Engine>(*store, hub, SystemClock(), Connections());
  const auto targets = [this](std::chrono::nanoseconds wait) {
    return [this, wait](const pb::ApplicationSpec& spec) { return registry->Targets(spec, wait); };
  };
  attendance = std::make_unique<Attendance>(
      FromProto(config.abandoned_after()),
      [this](const std::string& app, const std::string& id) { admission->Abandon(app, id); });
  admission = std::make_unique<Admission>(*store, *engine, *attendance, host, targets(kConnect),
                                          SystemClock());
  convergence = std::make_unique<Convergence>(
      *store, targets({}), [this](const std::string& name) { return fleet->Observe(name); });
  reconciler = std::make_unique<Reconciler>(*store, *convergence, *admission);
  preview = std::make_unique<Preview>(*store, *applications, *releases, *admission, host);
  housekeeping = std::make_unique<Housekeeping>(*store, *releases, metrics, SystemClock());
  checks = std::make_unique<Checks>(*store, SystemClock());
  upload_quota = std::make_unique<UploadQuota>(config.uploads(), UploadQuota::FreeBytesOf(state),
                                               SystemClock());
  tokens = std::make_unique<Tokens>(*store, SystemClock());
  enrolments = std::make_unique<Enrolments>(*store, SystemClock());
  std::unique_ptr<OidcVerifier> verifier;
  if (const auto& github = config.github(); !github.audience().empty()) {
    OidcVerifier::Fetch keys = FetchFrom(github.issuer());
    if (!github.keys_file().empty()) {
      keys = [file = github.keys_file()] { return ReadFile(file); };
    }
    verifier = std::make_unique<OidcVerifier>(github.issuer(), github.audience(), std::move(keys),
                                              SystemClock());
  }
  trusts = std::make_unique<Trusts>(*store, *tokens, std::move(verifier), SystemClock());
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenFront(Guard::Openers openers, GrpcServerOptions options) {
  const FrontParts parts{
      *store,
      *box,
      *files,
      hub,
      *fleet,
      *registry,
      *convergence,
      *reconciler,
      *applications,
      *releases,
      *checks,
      *upload_quota,
      *admission,
      *attendance,
      *preview,
      *tokens,
      *trusts,
      *enrolments,
      *certificates,
      *audit,
      *upkeep,
      {SLIPWAY_VERSION, SystemClock().WallNow(), ssh_public_key, state,
       [this] { return metrics.IsHistoryIntact(); }, [this] { return NewestBackup(*store); }}};
  options.configure = [this](grpc::ServerBuilder& builder) { metrics.Intercept(builder); };
  Guard guard(
      openers, *tokens, *certificates, SystemClock(),
      [this](const std::string& kind, const std::string& reason) { metrics.Refused(kind, reason); },
      [this] { return candidate == nullptr ? absl::OkStatus() : candidate->CheckLeads(); },
      options.known_peers);
  SLIPWAY_ASSIGN_OR_RETURN(auto front, Front::Open(std::move(guard), parts, std::move(options)));
  fronts.push_back(std::move(front));
  return absl::OkStatus();
}

// What only the controller does that acts; `epoch` is that of its lead.
absl::Status Server::Parts::TakeOver(uint64_t epoch) {
  SLIPWAY_RETURN_IF_ERROR(store->Lead(epoch));
  lead = epoch;
  acts = true;
  SLIPWAY_RETURN_IF_ERROR(CheckKeysAreShared(*store, *box, *certificates, ssh_public_key));
  SLIPWAY_RETURN_IF_ERROR(RememberKeys(*store, *box, *certificates, ssh_public_key));
  // A long one would keep a takeover waiting.
  if (candidate == nullptr) housekeeping->CheckHistory();
  SLIPWAY_RETURN_IF_ERROR(registry->Load());
  fleet->RecordUntold();
  SLIPWAY_ASSIGN_OR_RETURN(const int resumed, engine->Resume());
  metrics.Resumed(resumed);
  SLIPWAY_RETURN_IF_ERROR(admission->StartAllQueued());
  SLIPWAY_RETURN_IF_ERROR(admission->ExpectAll());
  reconciler->Start();
  upkeep->Look();
  housekeeping->Start(/*check_history=*/candidate != nullptr);
  metrics.Leads(true);
  LogInfo("this controller leads",
          {{"epoch", absl::StrCat(epoch)}, {"resumed", absl::StrCat(resumed)}});
  return absl::OkStatus();
}

// At once when the state is this controller's alone.
absl::Status Server::Parts::Stand(const Config& config) {
  const auto database = PostgresOf(config);
  if (!database) return TakeOver(0);
  metrics.Leads(false);
  Candidate::Options options;
  options.database = *database;
  options.name = MachineName();
  options.address = config.advertised_address();
  options.take_over = [this](uint64_t epoch) { return TakeOver(epoch); };
  options.stand_by = [this] {
    if (const absl::Status known = registry->Load(); !known.ok()) {
      LogWarning("the leader's hosts are not known", {{"problem", std::string(known.message())}});
    }
  };
  options.lost = [] {
    LogError("another controller may lead: this one ends at once");
    std::_Exit(1);
  };
  candidate = std::make_unique<Candidate>(std::move(options));
  listener = std::make_unique<StoreListener>(*database, [this](const StoreChange& change) {
    switch (change.kind) {
      case StoreChange::Kind::kEvents:
        hub.Publish(change.app, change.deployment);
        return;
      case StoreChange::Kind::kEverything:
        hub.PublishAll();
        [[fallthrough]];
      case StoreChange::Kind::kLeadership:
        candidate->Wake();
        return;
    }
  });
  return candidate->Start();
}

absl::Status Server::Parts::Serve(const Config& config) {
  if (config.metrics_address() != "off") {
    MetricsHttpOptions options;
    options.address = config.metrics_address();
    options.token_file = config.metrics_token_file();
    options.page = [this] {
      return metrics.Text(PresentOf(*store, *fleet, *convergence, *certificates));
    };
    options.refused = [this](const std::string& why) { metrics.Refused("metrics", why); };
    SLIPWAY_ASSIGN_OR_RETURN(http, MetricsHttp::Start(std::move(options)));
  }
  GrpcServerOptions local;
  local.socket = config.socket();
  SLIPWAY_RETURN_IF_ERROR(OpenFront(Guard::Openers::kOperators, local));
  if (!config.token_socket().empty()) {
    GrpcServerOptions open;
    open.socket = config.token_socket();
    open.socket_mode = 0666;
    SLIPWAY_RETURN_IF_ERROR(OpenFront(Guard::Openers::kNobody, open));
  }
  if (!config.tls().listen().empty()) {
    GrpcServerOptions tls;
    tls.listen = config.tls().listen();
    tls.connection_age = ConnectionAge(certificates->Life());
    // A certificate that is shown must be good in either case.
    tls.credentials =
        TlsServer(certificates->Files(), !config.tls().allow_clients_without_certificate());
    tls.known_peers = std::make_shared<KnownPeers>();
    SLIPWAY_RETURN_IF_ERROR(OpenFront(Guard::Openers::kNobody, tls));
  }
  return absl::OkStatus();
}

Server::Parts::~Parts() {
  if (candidate != nullptr) candidate->Stop();
  housekeeping.reset();
  // Its watchers call the upkeep.
  if (fleet != nullptr) fleet->Shutdown();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Config config) {
  ApplyDefaults(config);
  auto parts = std::make_unique<Parts>();
  SLIPWAY_RETURN_IF_ERROR(parts->Open(config));
  SLIPWAY_RETURN_IF_ERROR(parts->Assemble(config));
  SLIPWAY_RETURN_IF_ERROR(parts->Reach(config));
  SLIPWAY_RETURN_IF_ERROR(parts->Stand(config));
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  SLIPWAY_RETURN_IF_ERROR(server->parts_->Serve(config));
  LogInfo("controller ready", {{"version", SLIPWAY_VERSION}, {"socket", config.socket()}});
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  if (parts_->candidate != nullptr) parts_->candidate->Stop();
  // Deployments stop between two steps or in the middle of one; the next start resumes them.
  parts_->engine->Stop();
  parts_->fleet->Shutdown();
  // Watchers have no end of their own: after a moment their calls are cut.
  for (const auto& front : parts_->fronts) front->Close(std::chrono::milliseconds(500));
  // What runs tells others of its end.
  parts_->engine->Wait();
}

int Server::MetricsPort() const { return parts_->http == nullptr ? 0 : parts_->http->Port(); }

}  // namespace slipway::controller
