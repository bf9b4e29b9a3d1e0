#include "clients/controller_client.h"

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include <grpcpp/grpcpp.h>

#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/metadata_text.h"
#include "common/names.h"
#include "common/status.h"
#include "common/user.h"

namespace slipway::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kCallTimeout = seconds(30);
constexpr auto kUploadTimeout = seconds(3600);
constexpr size_t kAttempts = 5;
// For a watch, which a controller that restarts only interrupts.
constexpr auto kPatience = seconds(60);

Caller Named(Caller caller) {
  if (caller.name.empty()) caller.name = UserName();
  return caller;
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

ControllerClient::Stubs::Stubs(const std::shared_ptr<grpc::Channel>& channel)
    : access(pb::AccessService::NewStub(channel)),
      applications(pb::ApplicationService::NewStub(channel)),
      releases(pb::ReleaseService::NewStub(channel)),
      deployments(pb::DeploymentService::NewStub(channel)),
      hosts(pb::HostService::NewStub(channel)) {}

ControllerClient::ControllerClient(std::shared_ptr<grpc::Channel> channel, Caller caller)
    : ControllerClient(std::vector<Endpoint>{{"", std::move(channel), nullptr}},
                       std::move(caller)) {}

ControllerClient::ControllerClient(std::vector<Endpoint> endpoints, Caller caller)
    : caller_(Named(std::move(caller))), endpoints_(std::move(endpoints)) {
  for (const Endpoint& endpoint : endpoints_) stubs_.emplace_back(endpoint.channel);
}

class ControllerClient::Persistence {
 public:
  explicit Persistence(const ControllerClient& client, std::chrono::nanoseconds time = {})
      : client_(client),
        several_(client.endpoints_.size() > 1),
        give_up_(std::chrono::steady_clock::now() +
                 std::max<std::chrono::nanoseconds>(time, several_ ? kFailover : seconds(0))) {}

  // The call has got through: what fails from now on is another matter.
  void Renew(std::chrono::nanoseconds time) {
    give_up_ = std::chrono::steady_clock::now() + time;
    pause_ = kFirstPause;
    failures_ = 0;
  }

  bool TryAgain(const absl::Status& failed) {
    ++failures_;
    const bool elsewhere = DetailOf(failed).reason() == "NOT_LEADER";
    if (!absl::IsUnavailable(failed) && !elsewhere) return false;
    // A single controller is asked a few times, whatever the time.
    const bool late = std::chrono::steady_clock::now() > give_up_;
    if (late && (several_ || failures_ >= kAttempts)) return false;
    if (several_) MoveOn(elsewhere ? DetailOf(failed).subject() : "");
    // All have been asked.
    if (failures_ % client_.endpoints_.size() == 0) {
      std::this_thread::sleep_for(pause_);
      pause_ = std::min<milliseconds>(pause_ * 2, kLongestPause);
    }
    return true;
  }

 private:
  static constexpr milliseconds kFirstPause{100};
  static constexpr milliseconds kLongestPause{2000};
  static constexpr seconds kFailover{45};

  // To the one that is named, if it is one of ours; else to the next that can be prepared.
  void MoveOn(const std::string& leader) {
    const auto& endpoints = client_.endpoints_;
    size_t next = (client_.present_ + 1) % endpoints.size();
    for (size_t i = 0; i < endpoints.size(); ++i) {
      if (!leader.empty() && endpoints[i].address == leader) next = i;
    }
    client_.present_ = next;
    // What is wrong with the way there shows in the call.
    if (endpoints[next].prepare) endpoints[next].prepare().IgnoreError();
  }

  const ControllerClient& client_;
  const bool several_;
  std::chrono::steady_clock::time_point give_up_;
  milliseconds pause_ = kFirstPause;
  size_t failures_ = 0;
};

// No deadline for a watch, which lasts as long as what it watches.
void ControllerClient::Prepare(grpc::ClientContext& context,
                               std::optional<std::chrono::nanoseconds> timeout) const {
  context.AddMetadata("x-slipway-actor", EncodeMetadata(caller_.name));
  if (!caller_.token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", caller_.token));
  }
  if (!caller_.ref.empty()) context.AddMetadata("x-slipway-ref", EncodeMetadata(caller_.ref));
  if (!caller_.origin.empty()) {
    context.AddMetadata("x-slipway-origin", EncodeMetadata(caller_.origin));
  }
  if (caller_.override_policy) context.AddMetadata("x-slipway-override-policy", "yes");
  if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
}

// Every call may be repeated, by its request id or because it only reads.
absl::Status ControllerClient::Retry(
    const std::function<grpc::Status(grpc::ClientContext&)>& call) const {
  Persistence persistence(*this);
  while (true) {
    grpc::ClientContext context;
    Prepare(context, kCallTimeout);
    const absl::Status status = FromGrpc(call(context));
    if (status.ok() || !persistence.TryAgain(status)) return status;
  }
}

absl::StatusOr<pb::ApplyApplicationResponse> ControllerClient::Apply(
    const pb::ApplyApplicationRequest& request) {
  return Call(&pb::ApplicationService::Stub::ApplyApplication, request);
}

absl::StatusOr<pb::Application> ControllerClient::GetApplication(const std::string& app) {
  pb::GetApplicationRequest request;
  request.set_name(ApplicationName(app));
  SLIPWAY_ASSIGN_OR_RETURN(pb::GetApplicationResponse response,
                           Call(&pb::ApplicationService::Stub::GetApplication, request));
  return std::move(*response.mutable_application());
}

absl::StatusOr<pb::ListApplicationsResponse> ControllerClient::ListApplications() {
  return CallForAll(&pb::ApplicationService::Stub::ListApplications, pb::ListApplicationsRequest());
}

absl::StatusOr<pb::SetEnvironmentResponse> ControllerClient::SetEnvironment(
    const pb::SetEnvironmentRequest& request) {
  return Call(&pb::ApplicationService::Stub::SetEnvironment, request);
}

absl::StatusOr<pb::ListEnvironmentResponse> ControllerClient::ListEnvironment(
    const std::string& app) {
  pb::ListEnvironmentRequest request;
  request.set_name(ApplicationName(app));
  return Call(&pb::ApplicationService::Stub::ListEnvironment, request);
}

absl::StatusOr<std::vector<std::string>> ControllerClient::FindMissing(
    const std::string& manifest_digest) {
  grpc::ClientContext context;
  Prepare(context, kCallTimeout);
  context.set_wait_for_ready(true);
  pb::FindMissingBlobsRequest request;
  request.set_manifest_digest(manifest_digest);
  const auto stream = Present().releases->FindMissingBlobs(&context, request);
  std::vector<std::string> missing;
  pb::FindMissingBlobsResponse page;
  while (stream->Read(&page)) {
    missing.insert(missing.end(), page.digests().begin(), page.digests().end());
  }
  SLIPWAY_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return missing;
}

absl::StatusOr<UploadStats> ControllerClient::Upload(const std::filesystem::path& folder,
                                                     const pb::Manifest& manifest,
                                                     std::string* manifest_digest) {
  const std::string manifest_bytes = SerializeManifest(manifest);
  *manifest_digest = Sha256Of(manifest_bytes);
  UploadStats stats;
  const auto send = [&](const std::function<absl::Status(const ChunkSink&)>& work) {
    grpc::ClientContext context;
    Prepare(context, kUploadTimeout);
    pb::UploadBlobsResponse response;
    const auto stream = Present().releases->UploadBlobs(&context, &response);
    const absl::Status sent = work([&](const pb::UploadBlobsRequest& chunk) {
      stats.bytes_sent += chunk.data().size() + chunk.digest().size();
      return stream->Write(chunk);
    });
    if (sent.ok()) stream->WritesDone();
    if (!sent.ok() && sent.code() != absl::StatusCode::kCancelled) context.TryCancel();
    const absl::Status answered = FromGrpc(stream->Finish());
    // A refused stream shows as a failed write; the server's answer says why.
    return sent.ok() || sent.code() == absl::StatusCode::kCancelled ? answered : sent;
  };
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<std::string> missing, FindMissing(*manifest_digest));
  if (missing.size() == 1 && missing.front() == *manifest_digest) {
    SLIPWAY_RETURN_IF_ERROR(send(
        [&](const ChunkSink& sink) { return SendBytes(manifest_bytes, *manifest_digest, sink); }));
    SLIPWAY_ASSIGN_OR_RETURN(missing, FindMissing(*manifest_digest));
  }
  if (missing.empty()) return stats;
  std::set<std::string> wanted(missing.begin(), missing.end());
  stats.files_sent = wanted.size();
  SLIPWAY_RETURN_IF_ERROR(send([&](const ChunkSink& sink) -> absl::Status {
    for (const pb::ManifestEntry& entry : manifest.entries()) {
      if (wanted.erase(entry.digest()) == 0) continue;
      SLIPWAY_RETURN_IF_ERROR(SendFile(folder / entry.path(), entry.digest(), entry.size(), sink));
    }
    return absl::OkStatus();
  }));
  return stats;
}

absl::StatusOr<pb::Release> ControllerClient::CreateRelease(
    const pb::CreateReleaseRequest& request) {
  SLIPWAY_ASSIGN_OR_RETURN(pb::CreateReleaseResponse response,
                           Call(&pb::ReleaseService::Stub::CreateRelease, request));
  return std::move(*response.mutable_release());
}

absl::StatusOr<pb::Release> ControllerClient::GetRelease(const std::string& name) {
  pb::GetReleaseRequest request;
  request.set_name(name);
  SLIPWAY_ASSIGN_OR_RETURN(pb::GetReleaseResponse response,
                           Call(&pb::ReleaseService::Stub::GetRelease, request));
  return std::move(*response.mutable_release());
}

absl::StatusOr<pb::CreateDeploymentResponse> ControllerClient::CreateDeployment(
    const pb::CreateDeploymentRequest& request) {
  return Call(&pb::DeploymentService::Stub::CreateDeployment, request);
}

absl::StatusOr<pb::RollbackApplicationResponse> ControllerClient::Rollback(
    const pb::RollbackApplicationRequest& request) {
  return Call(&pb::DeploymentService::Stub::RollbackApplication, request);
}

absl::StatusOr<pb::Deployment> ControllerClient::GetDeployment(const std::string& name) {
  pb::GetDeploymentRequest request;
  request.set_name(name);
  SLIPWAY_ASSIGN_OR_RETURN(pb::GetDeploymentResponse response,
                           Call(&pb::DeploymentService::Stub::GetDeployment, request));
  return std::move(*response.mutable_deployment());
}

absl::StatusOr<pb::ListDeploymentsResponse> ControllerClient::ListDeployments(
    const pb::ListDeploymentsRequest& request) {
  return Call(&pb::DeploymentService::Stub::ListDeployments, request);
}

absl::StatusOr<pb::ListHistoryResponse> ControllerClient::ListHistory(
    const pb::ListHistoryRequest& request) {
  return Call(&pb::DeploymentService::Stub::ListHistory, request);
}

absl::StatusOr<pb::Deployment> ControllerClient::Cancel(const std::string& name) {
  pb::CancelDeploymentRequest request;
  request.set_name(name);
  request.set_request_id(NewRequestId());
  SLIPWAY_ASSIGN_OR_RETURN(pb::CancelDeploymentResponse response,
                           Call(&pb::DeploymentService::Stub::CancelDeployment, request));
  return std::move(*response.mutable_deployment());
}

absl::StatusOr<pb::Deployment> ControllerClient::Resume(const std::string& name) {
  pb::ResumeDeploymentRequest request;
  request.set_name(name);
  request.set_request_id(NewRequestId());
  SLIPWAY_ASSIGN_OR_RETURN(pb::ResumeDeploymentResponse response,
                           Call(&pb::DeploymentService::Stub::ResumeDeployment, request));
  return std::move(*response.mutable_deployment());
}

absl::Status ControllerClient::Watch(const std::string& name, uint64_t after, bool attend,
                                     const std::function<bool(const pb::Event&)>& sink) {
  Persistence persistence(*this, kPatience);
  while (true) {
    grpc::ClientContext context;
    Prepare(context, std::nullopt);
    pb::WatchDeploymentRequest request;
    request.set_name(name);
    request.set_after(after);
    request.set_attend(attend);
    const auto stream = Present().deployments->WatchDeployment(&context, request);
    pb::WatchDeploymentResponse response;
    while (stream->Read(&response)) {
      after = response.event().sequence();
      persistence.Renew(kPatience);
      if (!sink(response.event())) {
        context.TryCancel();
        return absl::OkStatus();
      }
    }
    const absl::Status status = FromGrpc(stream->Finish());
    if (status.ok() || !persistence.TryAgain(status)) return status;
  }
}

absl::Status ControllerClient::StreamLogs(
    const pb::StreamLogsRequest& request,
    const std::function<bool(const pb::StreamLogsResponse&)>& sink) {
  grpc::ClientContext context;
  Prepare(context, std::nullopt);
  const auto stream = Present().deployments->StreamLogs(&context, request);
  pb::StreamLogsResponse response;
  while (stream->Read(&response)) {
    if (!sink(response)) {
      context.TryCancel();
      return absl::OkStatus();
    }
  }
  return FromGrpc(stream->Finish());
}

absl::StatusOr<pb::ListHostsResponse> ControllerClient::ListHosts() {
  return CallForAll(&pb::HostService::Stub::ListHosts, pb::ListHostsRequest());
}

absl::StatusOr<pb::CheckHostResponse> ControllerClient::CheckHost(
    const pb::CheckHostRequest& request) {
  return Call(&pb::HostService::Stub::CheckHost, request);
}

absl::StatusOr<pb::GetServerInfoResponse> ControllerClient::GetServerInfo() {
  return Call(&pb::HostService::Stub::GetServerInfo, pb::GetServerInfoRequest());
}

}  // namespace slipway::client
