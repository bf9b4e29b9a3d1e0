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
#include "common/names.h"
#include "common/status.h"
#include "common/user.h"

namespace slipway::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kCallTimeout = seconds(30);
constexpr auto kUploadTimeout = seconds(3600);
constexpr int kAttempts = 5;

Caller Named(Caller caller) {
  if (caller.name.empty()) caller.name = UserName();
  return caller;
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

ControllerClient::ControllerClient(std::shared_ptr<grpc::Channel> channel, Caller caller)
    : caller_(Named(std::move(caller))),
      access_(pb::AccessService::NewStub(channel)),
      applications_(pb::ApplicationService::NewStub(channel)),
      releases_(pb::ReleaseService::NewStub(channel)),
      deployments_(pb::DeploymentService::NewStub(channel)),
      hosts_(pb::HostService::NewStub(channel)) {}

// No deadline for a watch, which lasts as long as what it watches.
void ControllerClient::Prepare(grpc::ClientContext& context,
                               std::optional<std::chrono::nanoseconds> timeout) const {
  context.AddMetadata("x-slipway-actor", caller_.name);
  if (!caller_.token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", caller_.token));
  }
  if (!caller_.ref.empty()) context.AddMetadata("x-slipway-ref", caller_.ref);
  if (!caller_.origin.empty()) context.AddMetadata("x-slipway-origin", caller_.origin);
  if (caller_.override_policy) context.AddMetadata("x-slipway-override-policy", "yes");
  if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
}

// Every call may be repeated, by its request id or because it only reads.
absl::Status ControllerClient::Retry(
    const std::function<grpc::Status(grpc::ClientContext&)>& call) const {
  auto pause = milliseconds(100);
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    Prepare(context, kCallTimeout);
    const grpc::Status status = call(context);
    if (status.ok()) return absl::OkStatus();
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || attempt == kAttempts) {
      return FromGrpc(status);
    }
    std::this_thread::sleep_for(pause);
    pause *= 2;
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
  const auto stream = releases_->FindMissingBlobs(&context, request);
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
    const auto stream = releases_->UploadBlobs(&context, &response);
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
  auto pause = milliseconds(100);
  auto give_up = std::chrono::steady_clock::now() + seconds(60);
  while (true) {
    grpc::ClientContext context;
    Prepare(context, std::nullopt);
    pb::WatchDeploymentRequest request;
    request.set_name(name);
    request.set_after(after);
    request.set_attend(attend);
    const auto stream = deployments_->WatchDeployment(&context, request);
    pb::WatchDeploymentResponse response;
    while (stream->Read(&response)) {
      after = response.event().sequence();
      pause = milliseconds(100);
      give_up = std::chrono::steady_clock::now() + seconds(60);
      if (!sink(response.event())) {
        context.TryCancel();
        return absl::OkStatus();
      }
    }
    const grpc::Status status = stream->Finish();
    const bool lost = status.error_code() == grpc::StatusCode::UNAVAILABLE;
    if (!lost || std::chrono::steady_clock::now() > give_up) return FromGrpc(status);
    std::this_thread::sleep_for(pause);
    pause = std::min<milliseconds>(pause * 2, seconds(2));
  }
}

absl::Status ControllerClient::StreamLogs(
    const pb::StreamLogsRequest& request,
    const std::function<bool(const pb::StreamLogsResponse&)>& sink) {
  grpc::ClientContext context;
  Prepare(context, std::nullopt);
  const auto stream = deployments_->StreamLogs(&context, request);
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
