#include "clients/controller_client.h"

#include <algorithm>
#include <optional>
#include <pwd.h>
#include <random>
#include <set>
#include <thread>
#include <unistd.h>
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

namespace slipway::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kCallTimeout = seconds(30);
constexpr auto kUploadTimeout = seconds(3600);
constexpr int kAttempts = 5;

// No deadline for a watch, which lasts as long as what it watches.
void Prepare(grpc::ClientContext& context, const std::string& actor,
             std::optional<std::chrono::nanoseconds> timeout) {
  context.AddMetadata("x-slipway-actor", actor);
  if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
}

std::string UserName() {
  const passwd* user = getpwuid(getuid());
  return user == nullptr ? absl::StrCat("uid ", getuid()) : user->pw_name;
}

// One unary call; every one of them may be repeated, by request id or because it only reads.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, const std::string& actor) {
  auto pause = milliseconds(100);
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    Prepare(context, actor, kCallTimeout);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (status.ok()) return response;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || attempt == kAttempts) {
      return FromGrpc(status);
    }
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

ControllerClient::ControllerClient(std::shared_ptr<grpc::Channel> channel, std::string actor)
    : actor_(actor.empty() ? UserName() : std::move(actor)),
      applications_(pb::ApplicationService::NewStub(channel)),
      releases_(pb::ReleaseService::NewStub(channel)),
      deployments_(pb::DeploymentService::NewStub(channel)),
      hosts_(pb::HostService::NewStub(channel)) {}

absl::StatusOr<pb::ApplyApplicationResponse> ControllerClient::Apply(
    const pb::ApplyApplicationRequest& request) {
  return Call(*applications_, &pb::ApplicationService::Stub::ApplyApplication, request, actor_);
}

absl::StatusOr<pb::Application> ControllerClient::GetApplication(const std::string& app) {
  pb::GetApplicationRequest request;
  request.set_name(ApplicationName(app));
  SLIPWAY_ASSIGN_OR_RETURN(
      pb::GetApplicationResponse response,
      Call(*applications_, &pb::ApplicationService::Stub::GetApplication, request, actor_));
  return std::move(*response.mutable_application());
}

absl::StatusOr<pb::ListApplicationsResponse> ControllerClient::ListApplications(
    const pb::ListApplicationsRequest& request) {
  return Call(*applications_, &pb::ApplicationService::Stub::ListApplications, request, actor_);
}

absl::StatusOr<pb::SetEnvironmentResponse> ControllerClient::SetEnvironment(
    const pb::SetEnvironmentRequest& request) {
  return Call(*applications_, &pb::ApplicationService::Stub::SetEnvironment, request, actor_);
}

absl::StatusOr<pb::ListEnvironmentResponse> ControllerClient::ListEnvironment(
    const std::string& app) {
  pb::ListEnvironmentRequest request;
  request.set_name(ApplicationName(app));
  return Call(*applications_, &pb::ApplicationService::Stub::ListEnvironment, request, actor_);
}

absl::StatusOr<std::vector<std::string>> ControllerClient::FindMissing(
    const std::string& manifest_digest) {
  grpc::ClientContext context;
  Prepare(context, actor_, kCallTimeout);
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
    Prepare(context, actor_, kUploadTimeout);
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
  SLIPWAY_ASSIGN_OR_RETURN(
      pb::CreateReleaseResponse response,
      Call(*releases_, &pb::ReleaseService::Stub::CreateRelease, request, actor_));
  return std::move(*response.mutable_release());
}

absl::StatusOr<pb::Release> ControllerClient::GetRelease(const std::string& name) {
  pb::GetReleaseRequest request;
  request.set_name(name);
  SLIPWAY_ASSIGN_OR_RETURN(
      pb::GetReleaseResponse response,
      Call(*releases_, &pb::ReleaseService::Stub::GetRelease, request, actor_));
  return std::move(*response.mutable_release());
}

absl::StatusOr<pb::CreateDeploymentResponse> ControllerClient::CreateDeployment(
    const pb::CreateDeploymentRequest& request) {
  return Call(*deployments_, &pb::DeploymentService::Stub::CreateDeployment, request, actor_);
}

absl::StatusOr<pb::RollbackApplicationResponse> ControllerClient::Rollback(
    const pb::RollbackApplicationRequest& request) {
  return Call(*deployments_, &pb::DeploymentService::Stub::RollbackApplication, request, actor_);
}

absl::StatusOr<pb::Deployment> ControllerClient::GetDeployment(const std::string& name) {
  pb::GetDeploymentRequest request;
  request.set_name(name);
  SLIPWAY_ASSIGN_OR_RETURN(
      pb::GetDeploymentResponse response,
      Call(*deployments_, &pb::DeploymentService::Stub::GetDeployment, request, actor_));
  return std::move(*response.mutable_deployment());
}

absl::StatusOr<pb::ListDeploymentsResponse> ControllerClient::ListDeployments(
    const pb::ListDeploymentsRequest& request) {
  return Call(*deployments_, &pb::DeploymentService::Stub::ListDeployments, request, actor_);
}

absl::StatusOr<pb::ListHistoryResponse> ControllerClient::ListHistory(
    const pb::ListHistoryRequest& request) {
  return Call(*deployments_, &pb::DeploymentService::Stub::ListHistory, request, actor_);
}

absl::StatusOr<pb::Deployment> ControllerClient::Cancel(const std::string& name) {
  pb::CancelDeploymentRequest request;
  request.set_name(name);
  request.set_request_id(NewRequestId());
  SLIPWAY_ASSIGN_OR_RETURN(
      pb::CancelDeploymentResponse response,
      Call(*deployments_, &pb::DeploymentService::Stub::CancelDeployment, request, actor_));
  return std::move(*response.mutable_deployment());
}

absl::Status ControllerClient::Watch(const std::string& name, uint64_t after,
                                     const std::function<bool(const pb::Event&)>& sink) {
  auto pause = milliseconds(100);
  auto give_up = std::chrono::steady_clock::now() + seconds(60);
  while (true) {
    grpc::ClientContext context;
    Prepare(context, actor_, std::nullopt);
    pb::WatchDeploymentRequest request;
    request.set_name(name);
    request.set_after(after);
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
  Prepare(context, actor_, std::nullopt);
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

absl::StatusOr<pb::ListHostsResponse> ControllerClient::ListHosts(
    const pb::ListHostsRequest& request) {
  return Call(*hosts_, &pb::HostService::Stub::ListHosts, request, actor_);
}

absl::StatusOr<pb::CheckHostResponse> ControllerClient::CheckHost(
    const pb::CheckHostRequest& request) {
  return Call(*hosts_, &pb::HostService::Stub::CheckHost, request, actor_);
}

absl::StatusOr<pb::GetServerInfoResponse> ControllerClient::GetServerInfo() {
  return Call(*hosts_, &pb::HostService::Stub::GetServerInfo, pb::GetServerInfoRequest(), actor_);
}

}  // namespace slipway::client
