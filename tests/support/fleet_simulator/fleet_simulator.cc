#include "tests/support/fleet_simulator/fleet_simulator.h"

#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include <grpcpp/alarm.h>
#include <grpcpp/server.h>

#include "common/file.h"
#include "common/grpc_server.h"
#include "common/grpc_status.h"
#include "common/mutex.h"
#include "common/status.h"
#include "common/tls.h"
#include "common/x509.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::controller {
namespace {

// As the real one's.
constexpr std::chrono::seconds kSignOfLife{10};

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "the simulated connection broke");

template <typename Request>
class UploadSink : public grpc::ServerReadReactor<Request> {
 public:
  UploadSink() { this->StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (ok) {
      this->StartRead(&request_);
    } else {
      this->Finish(grpc::Status::OK);
    }
  }
  void OnDone() override { delete this; }

 private:
  Request request_;
};

template <typename Response>
class EmptyStream : public grpc::ServerWriteReactor<Response> {
 public:
  EmptyStream() { this->Finish(grpc::Status::OK); }
  void OnDone() override { delete this; }
};

}  // namespace

class FleetSimulator::Executor : public xpb::ExecutorService::CallbackService {
 public:
  Executor(size_t index, const FleetFaults& faults)
      : host_(Name(index)), faults_(faults), random_(faults.seed + static_cast<uint32_t>(index)) {
    for (const size_t failing : faults.failing_hosts) {
      if (failing == index) host_.Fail(faults.failing_step, pb::FAILURE_REASON_UNHEALTHY);
    }
  }

  absl::Status Listen(const GrpcServerOptions& options) {
    SLIPWAY_ASSIGN_OR_RETURN(server_, StartGrpcServer(options, {this}));
    return absl::OkStatus();
  }
  // Both before any is destroyed, so that a thousand wait together.
  void Shutdown() {
    std::set<Watcher*> watchers;
    {
      MutexLock lock(mutex_);
      watchers = watchers_;
    }
    for (Watcher* watcher : watchers) watcher->End();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  SimulatedHost& Host() { return host_; }

  grpc::ServerWriteReactor<xpb::ExecuteResponse>* Execute(
      grpc::CallbackServerContext*, const xpb::ExecuteRequest* request) override {
    return new Step(*this, *request);
  }
  grpc::ServerWriteReactor<xpb::WatchResponse>* Watch(grpc::CallbackServerContext*,
                                                      const xpb::WatchRequest*) override {
    return new Watcher(*this);
  }
  grpc::ServerUnaryReactor* Inspect(grpc::CallbackServerContext* context,
                                    const xpb::InspectRequest* request,
                                    xpb::InspectResponse* response) override {
    *response->add_applications() = host_.Inspect(request->app());
    return Done(context);
  }
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context, const xpb::CancelRequest*,
                                   xpb::CancelResponse*) override {
    return Done(context);
  }
  grpc::ServerUnaryReactor* Acknowledge(grpc::CallbackServerContext* context,
                                        const xpb::AcknowledgeRequest*,
                                        xpb::AcknowledgeResponse*) override {
    return Done(context);
  }
  // It has every release.
  grpc::ServerWriteReactor<xpb::FindMissingBlobsResponse>* FindMissingBlobs(
      grpc::CallbackServerContext*, const xpb::FindMissingBlobsRequest*) override {
    return new EmptyStream<xpb::FindMissingBlobsResponse>();
  }
  grpc::ServerReadReactor<xpb::UploadBlobsRequest>* UploadBlobs(
      grpc::CallbackServerContext*, xpb::UploadBlobsResponse*) override {
    return new UploadSink<xpb::UploadBlobsRequest>();
  }
  grpc::ServerUnaryReactor* KeepHistoryHead(grpc::CallbackServerContext* context,
                                            const xpb::KeepHistoryHeadRequest* request,
                                            xpb::KeepHistoryHeadResponse*) override {
    MutexLock lock(mutex_);
    head_ = request->head();
    return Done(context);
  }
  grpc::ServerUnaryReactor* GetHistoryHead(grpc::CallbackServerContext* context,
                                           const xpb::GetHistoryHeadRequest*,
                                           xpb::GetHistoryHeadResponse* response) override {
    MutexLock lock(mutex_);
    *response->mutable_head() = head_;
    return Done(context);
  }
  grpc::ServerUnaryReactor* InstallCertificate(grpc::CallbackServerContext* context,
                                               const xpb::InstallCertificateRequest*,
                                               xpb::InstallCertificateResponse*) override {
    return Done(context);
  }

 private:
  static grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  struct Fate {
    std::chrono::milliseconds takes{0};
    bool breaks_before = false;
    bool breaks_after = false;
  };
  Fate NextFate() {
    MutexLock lock(mutex_);
    Fate fate;
    fate.takes = faults_.latency;
    if (faults_.jitter.count() > 0) {
      fate.takes +=
          std::chrono::milliseconds(random_() % static_cast<uint64_t>(faults_.jitter.count()));
    }
    fate.breaks_before = random_() % 1000 < faults_.disconnects;
    fate.breaks_after = random_() % 1000 < faults_.disconnects;
    return fate;
  }

  // One Execute call.
  class Step : public grpc::ServerWriteReactor<xpb::ExecuteResponse> {
   public:
    Step(Executor& executor, const xpb::ExecuteRequest& request)
        : executor_(executor), request_(request), fate_(executor.NextFate()) {
      if (fate_.takes.count() == 0) {
        Run();
      } else {
        alarm_.Set(std::chrono::system_clock::now() + fate_.takes, [this](bool) { Run(); });
      }
    }
    void OnDone() override { delete this; }

   private:
    void Run() {
      if (fate_.breaks_before) return Finish(kBroken);
      const auto start = std::chrono::steady_clock::now();
      auto result = executor_.host_.Execute(request_);
      executor_.Changed();
      if (fate_.breaks_after) return Finish(kBroken);
      if (!result.ok()) return Finish(ToGrpc(result.status()));
      const auto took = fate_.takes + (std::chrono::steady_clock::now() - start);
      result->mutable_duration()->set_nanos(static_cast<int32_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(took).count() % 1'000'000'000));
      *response_.mutable_result() = *std::move(result);
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    }

    Executor& executor_;
    const xpb::ExecuteRequest request_;
    const Fate fate_;
    xpb::ExecuteResponse response_;
    grpc::Alarm alarm_;
  };

  // One Watch stream: says what there is at once, when it changes, and each time of the sign of life.
  class Watcher : public grpc::ServerWriteReactor<xpb::WatchResponse> {
   public:
    explicit Watcher(Executor& executor) : executor_(executor) {
      {
        MutexLock lock(executor_.mutex_);
        executor_.watchers_.insert(this);
      }
      Changed();
      Rest();
    }
    void Changed() {
      {
        MutexLock lock(mutex_);
        dirty_ = true;
        if (writing_ || ended_) return;
        writing_ = true;
      }
      Write();
    }
    void End() {
      {
        MutexLock lock(mutex_);
        if (std::exchange(ended_, true)) return;
      }
      alarm_.Cancel();
      Finish(kBroken);
    }
    void OnWriteDone(bool ok) override {
      {
        MutexLock lock(mutex_);
        writing_ = ok && dirty_ && !ended_;
        if (!writing_) return;
      }
      Write();
    }
    void OnCancel() override { End(); }
    void OnDone() override {
      bool last = false;
      {
        MutexLock lock(executor_.mutex_);
        executor_.watchers_.erase(this);
        done_ = true;
        last = !resting_;
      }
      if (last) delete this;
    }

   private:
    void Write() {
      {
        MutexLock lock(mutex_);
        dirty_ = false;
      }
      response_.Clear();
      response_.mutable_host()->set_version("simulated");
      response_.mutable_host()->set_free_bytes(50'000'000'000);
      for (const std::string& app : executor_.host_.Applications()) {
        *response_.add_applications() = executor_.host_.Inspect(app);
      }
      StartWrite(&response_);
    }
    void Rest() {
      alarm_.Set(std::chrono::system_clock::now() + kSignOfLife, [this](bool due) {
        bool last = false;
        {
          MutexLock lock(executor_.mutex_);
          resting_ = due && !done_;
          last = done_;
        }
        if (last) {
          delete this;
        } else if (due) {
          Changed();
          Rest();
        }
      });
    }

    Executor& executor_;
    xpb::WatchResponse response_;
    grpc::Alarm alarm_;
    // Both by the executor's mutex: the last of the alarm and the call deletes it.
    bool resting_ = true;
    bool done_ = false;
    Mutex mutex_;
    bool writing_ SLIPWAY_GUARDED_BY(mutex_) = false;
    bool dirty_ SLIPWAY_GUARDED_BY(mutex_) = false;
    bool ended_ SLIPWAY_GUARDED_BY(mutex_) = false;
  };

  void Changed() {
    MutexLock lock(mutex_);
    for (Watcher* watcher : watchers_) watcher->Changed();
  }

  SimulatedHost host_;
  const FleetFaults& faults_;
  Mutex mutex_;
  std::mt19937 random_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<Watcher*> watchers_ SLIPWAY_GUARDED_BY(mutex_);
  xpb::HistoryHead head_ SLIPWAY_GUARDED_BY(mutex_);
  std::unique_ptr<GrpcServer> server_;
};

std::string FleetSimulator::Name(size_t index) { return absl::StrFormat("host-%04d", index + 1); }

std::string FleetSimulator::LoopbackOf(size_t index) {
  return absl::StrCat("127.1.", index / 250, ".", index % 250 + 1);
}

std::string FleetSimulator::Address(size_t index) const {
  if (tls_) return absl::StrCat("tls://", LoopbackOf(index), ":", tls_->port);
  return absl::StrCat("unix://", (folder_ / (Name(index) + ".sock")).string());
}

SimulatedHost& FleetSimulator::Host(size_t index) { return executors_.at(index)->Host(); }

namespace {

// With a certificate of its own, in a folder of its own.
absl::StatusOr<GrpcServerOptions> TlsOptions(const std::filesystem::path& folder,
                                             const Authority& authority, const std::string& name,
                                             const std::string& listen) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string key, MakePrivateKey());
  SLIPWAY_ASSIGN_OR_RETURN(const std::string request, MakeCertificateRequest(key));
  SLIPWAY_ASSIGN_OR_RETURN(
      const std::string certificate,
      authority.Sign(request, {pb::ROLE_EXECUTOR, "", name}, std::chrono::system_clock::now(),
                     std::chrono::hours(168)));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder / name));
  SLIPWAY_RETURN_IF_ERROR(
      PublishCredentials(folder / name, key, certificate, authority.certificate_pem()));
  GrpcServerOptions options;
  options.listen = listen;
  options.credentials = TlsServer(FilesIn(folder / name), /*required=*/true);
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FleetSimulator>> FleetSimulator::Start(
    const std::filesystem::path& folder, size_t hosts, const FleetFaults& faults,
    const std::optional<FleetTls>& tls) {
  std::optional<Authority> authority;
  if (tls) {
    SLIPWAY_ASSIGN_OR_RETURN(std::string key, ReadFile(tls->authority / "authority.key"));
    SLIPWAY_ASSIGN_OR_RETURN(std::string certificate, ReadFile(tls->authority / "authority.pem"));
    SLIPWAY_ASSIGN_OR_RETURN(authority, Authority::Read(std::move(key), std::move(certificate)));
  }
  std::unique_ptr<FleetSimulator> fleet(new FleetSimulator(folder, faults, tls));
  for (size_t i = 0; i < hosts; ++i) {
    fleet->executors_.push_back(std::make_unique<Executor>(i, fleet->faults_));
    GrpcServerOptions options;
    options.socket = folder / (Name(i) + ".sock");
    if (tls) {
      SLIPWAY_ASSIGN_OR_RETURN(options, TlsOptions(folder, *authority, Name(i),
                                                   absl::StrCat(LoopbackOf(i), ":", tls->port)));
    }
    SLIPWAY_RETURN_IF_ERROR(fleet->executors_.back()->Listen(options));
  }
  return fleet;
}

FleetSimulator::FleetSimulator(std::filesystem::path folder, FleetFaults faults,
                               std::optional<FleetTls> tls)
    : folder_(std::move(folder)), faults_(std::move(faults)), tls_(std::move(tls)) {}

FleetSimulator::~FleetSimulator() {
  for (const auto& executor : executors_) executor->Shutdown();
}

}  // namespace slipway::controller
