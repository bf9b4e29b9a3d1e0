#include "tests/walk/walked_controller.h"

#include <mutex>
#include <utility>

#include "common/spec.h"

namespace slipway::testing {
namespace {

using controller::DeploymentRecord;

// What admission asks of a host. It asks several at once, and a walk is of one thread.
class Client final : public controller::ExecutorClient {
 public:
  explicit Client(WalkedHost& host) : host_(host) {}

  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                          const LogSink&) override {
    return host_.Execute(request);
  }
  absl::Status Cancel(const std::string&, const std::string&) override {
    return absl::NotFoundError("nothing runs between two turns of a walk");
  }
  absl::Status SendRelease(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<xpb::InspectResponse> Inspect(const std::string& app, bool) override {
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    return host_.Inspect(app);
  }
  absl::StatusOr<pb::HostPlan> Plan(const xpb::PlanRequest&) override { return pb::HostPlan(); }
  absl::StatusOr<xpb::CheckResponse> Check(const xpb::CheckRequest&) override {
    return xpb::CheckResponse();
  }
  absl::StatusOr<xpb::PlaceUpstreamResponse> PlaceUpstream(
      const xpb::PlaceUpstreamRequest&) override {
    return xpb::PlaceUpstreamResponse();
  }
  absl::Status StreamLogs(const xpb::StreamLogsRequest&,
                          const std::function<bool(const xpb::StreamLogsResponse&)>&) override {
    return absl::OkStatus();
  }
  void Shutdown() override {}

 private:
  WalkedHost& host_;
};

}  // namespace

WalkedController::WalkedController(std::filesystem::path folder, Clock& clock, HostLookup hosts,
                                   controller::TargetLookup targets)
    : file_(folder / "state.db"),
      clock_(clock),
      hosts_(std::move(hosts)),
      targets_(std::move(targets)) {
  std::filesystem::create_directories(folder);
  Open();
}

WalkedController::~WalkedController() = default;

void WalkedController::Open() {
  store_ = controller::SqlStore::Open(file_.string(), clock_).value();
  hub_ = std::make_unique<controller::EventHub>();
  engine_ = std::make_unique<controller::Engine>(*store_, *hub_, clock_, controller::EngineParts{});
  engine_->Stop();
  attendance_ = std::make_unique<controller::Attendance>(std::chrono::hours(1),
                                                         [](const auto&, const auto&) {});
  admission_ = std::make_unique<controller::Admission>(
      *store_, *engine_, *attendance_,
      [this](const std::string& name) -> std::shared_ptr<controller::ExecutorClient> {
        WalkedHost* host = hosts_(name);
        return host == nullptr ? nullptr : std::make_shared<Client>(*host);
      },
      targets_, clock_);
}

void WalkedController::Restart() {
  admission_.reset();
  attendance_.reset();
  engine_.reset();
  hub_.reset();
  store_.reset();
  Open();
}

std::unique_ptr<ActiveRun> WalkedController::TakeUp(const std::string& app, const std::string& id) {
  auto run = std::make_unique<ActiveRun>();
  run->app = app;
  run->id = id;
  DeploymentRecord stored = store_->GetDeployment(app, id).value();
  const controller::ReleaseRecord release = store_->GetRelease(app, stored.release).value();
  run->context.manifest_digest = release.manifest_digest;
  run->context.spec = store_->GetSpec(app, release.spec_revision).value();
  ApplyDefaults(run->context.spec);
  const auto served_before = store_->ListServed(app, 1000).value();
  for (const DeploymentRecord& served : served_before) {
    run->context.served_releases.push_back(served.release);
  }
  run->decider = std::make_unique<controller::Decider>(run->context, std::move(stored));
  return run;
}

std::vector<std::unique_ptr<ActiveRun>> WalkedController::TakeUpAll() {
  std::vector<std::unique_ptr<ActiveRun>> runs;
  const auto running = store_->ListRunning().value();
  for (const auto& [app, id] : running) runs.push_back(TakeUp(app, id));
  return runs;
}

void WalkedController::Hear(WalkedHost& host) {
  const auto events = host.journal().UnacknowledgedEvents();
  if (events.empty()) return;
  const auto heard = store_->RecordLocalEvents(host.name(), events);
  if (!heard.ok()) return;
  xpb::JournalRecord record;
  record.mutable_acknowledged()->set_sequence(*heard);
  host.journal().Append(record).IgnoreError();
}

}  // namespace slipway::testing
