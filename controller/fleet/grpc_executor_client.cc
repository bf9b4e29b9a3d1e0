#include "controller/fleet/grpc_executor_client.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>

#include "common/blob_transfer.h"
#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/status.h"

namespace slipway::controller {
namespace {
using std::chrono::seconds;
constexpr seconds kQuick{10};
// Plan, Check and PlaceUpstream run nginx and docker on the host.
constexpr seconds kThorough{60};
constexpr seconds kTransfer{600};
// Beyond the operation's own time, for its answer to travel.
constexpr seconds kAnswer{15};

// The connection's own certificate may end while a newer one is there already. The server asks for a new connection then, and
// until it is made the call has not been heard.
absl::Status Heard(const grpc::Status& answer) {
  const absl::Status status = FromGrpc(answer);
  if (DetailOf(status).reason() != "CERTIFICATE_EXPIRED") return status;
  return absl::UnavailableError(status.message());
}
}  // namespace

// A context that Shutdown() can cancel.
class GrpcExecutorClient::Call {
 public:
  explicit Call(GrpcExecutorClient& client) : client_(client) {
    MutexLock lock(client_.mutex_);
    client_.calls_.insert(&context_);
    if (client_.shut_down_) context_.TryCancel();
  }
  Call(GrpcExecutorClient& client, std::chrono::nanoseconds timeout) : Call(client) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::microseconds>(timeout));
  }
  ~Call() {
    MutexLock lock(client_.mutex_);
    client_.calls_.erase(&context_);
  }
  grpc::ClientContext* context() { return &context_; }

 private:
  GrpcExecutorClient& client_;
  grpc::ClientContext context_;
};

GrpcExecutorClient::GrpcExecutorClient(std::shared_ptr<grpc::Channel> channel, ReleaseFiles& files)
    : files_(files), stub_(xpb::ExecutorService::NewStub(std::move(channel))) {}

void GrpcExecutorClient::UseChannel(std::shared_ptr<grpc::Channel> channel) {
  MutexLock lock(mutex_);
  stub_ = xpb::ExecutorService::NewStub(std::move(channel));
}

std::shared_ptr<xpb::ExecutorService::Stub> GrpcExecutorClient::Stub() {
  MutexLock lock(mutex_);
  return stub_;
}

void GrpcExecutorClient::Shutdown() {
  MutexLock lock(mutex_);
  shut_down_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
}

absl::StatusOr<xpb::StepResult> GrpcExecutorClient::Execute(const xpb::ExecuteRequest& request,
                                                            const LogSink& log) {
  Call call(*this, FromProto(request.operation().timeout()) + kAnswer);
  const auto stream = Stub()->Execute(call.context(), request);
  xpb::ExecuteResponse response;
  std::optional<xpb::StepResult> result;
  while (stream->Read(&response)) {
    if (response.has_log()) log(response.log());
    if (response.has_result()) result = response.result();
  }
  const grpc::Status status = stream->Finish();
  if (result) return *std::move(result);
  if (!status.ok()) return Heard(status);
  return absl::UnavailableError("the executor ended the stream without a result");
}

absl::Status GrpcExecutorClient::Cancel(const std::string& app, const std::string& operation_id) {
  Call call(*this, kQuick);
  xpb::CancelRequest request;
  request.set_app(app);
  request.set_operation_id(operation_id);
  xpb::CancelResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->Cancel(call.context(), request, &response)));
  return response.running() ? absl::OkStatus() : absl::NotFoundError("no such operation runs");
}

absl::StatusOr<std::vector<std::string>> GrpcExecutorClient::Missing(
    const std::string& manifest_digest) {
  Call call(*this, kThorough);
  xpb::FindMissingBlobsRequest request;
  request.set_manifest_digest(manifest_digest);
  const auto stream = Stub()->FindMissingBlobs(call.context(), request);
  std::vector<std::string> digests;
  xpb::FindMissingBlobsResponse response;
  while (stream->Read(&response)) {
    digests.insert(digests.end(), response.digests().begin(), response.digests().end());
  }
  SLIPWAY_RETURN_IF_ERROR(Heard(stream->Finish()));
  return digests;
}

absl::Status GrpcExecutorClient::Upload(const std::vector<std::string>& digests) {
  SLIPWAY_RETURN_IF_ERROR(files_.Fetch({digests.begin(), digests.end()}));
  Call call(*this, kTransfer);
  xpb::UploadBlobsResponse response;
  const auto stream = Stub()->UploadBlobs(call.context(), &response);
  absl::Status sent;
  for (const std::string& digest : digests) {
    std::error_code error;
    const auto path = files_.folder().PathOf(digest);
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error) {
      sent = Error(absl::StatusCode::kDataLoss, "BLOB_MISSING",
                   "the controller does not have this release's files any more",
                   "deploy its commit again, which sends them");
      break;
    }
    sent = SendFile(path, digest, size, [&](const pb::UploadBlobsRequest& chunk) {
      xpb::UploadBlobsRequest request;
      *request.mutable_chunk() = chunk;
      return stream->Write(request);
    });
    if (!sent.ok()) break;
  }
  stream->WritesDone();
  const absl::Status finished = Heard(stream->Finish());
  // A sink that answered false: the stream knows why.
  return absl::IsCancelled(sent) || sent.ok() ? finished : sent;
}

absl::Status GrpcExecutorClient::SendRelease(const std::string& manifest_digest) {
  // First the manifest, if even that is missing, then what it names.
  for (int round = 0; round < 3; ++round) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::vector<std::string> missing, Missing(manifest_digest));
    if (missing.empty()) return absl::OkStatus();
    SLIPWAY_RETURN_IF_ERROR(Upload(missing));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<std::string> missing, Missing(manifest_digest));
  return missing.empty() ? absl::OkStatus()
                         : absl::UnavailableError("the host still lacks files it was sent");
}

absl::StatusOr<xpb::InspectResponse> GrpcExecutorClient::Inspect(const std::string& app,
                                                                 bool compare) {
  Call call(*this, compare ? kThorough : kQuick);
  xpb::InspectRequest request;
  request.set_compare(compare);
  request.set_app(app);
  xpb::InspectResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->Inspect(call.context(), request, &response)));
  return response;
}

absl::StatusOr<pb::HostPlan> GrpcExecutorClient::Plan(const xpb::PlanRequest& request) {
  Call call(*this, kThorough);
  xpb::PlanResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->Plan(call.context(), request, &response)));
  return response.plan();
}

absl::StatusOr<xpb::CheckResponse> GrpcExecutorClient::Check(const xpb::CheckRequest& request) {
  Call call(*this, kThorough);
  xpb::CheckResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->Check(call.context(), request, &response)));
  return response;
}

absl::StatusOr<xpb::PlaceUpstreamResponse> GrpcExecutorClient::PlaceUpstream(
    const xpb::PlaceUpstreamRequest& request) {
  Call call(*this, kThorough);
  xpb::PlaceUpstreamResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->PlaceUpstream(call.context(), request, &response)));
  return response;
}

absl::Status GrpcExecutorClient::StreamLogs(
    const xpb::StreamLogsRequest& request,
    const std::function<bool(const xpb::StreamLogsResponse&)>& sink) {
  Call call(*this);
  if (!request.follow()) {
    call.context()->set_deadline(std::chrono::system_clock::now() + kThorough);
  }
  const auto stream = Stub()->StreamLogs(call.context(), request);
  xpb::StreamLogsResponse response;
  bool wanted = true;
  while (wanted && stream->Read(&response)) wanted = sink(response);
  if (!wanted) call.context()->TryCancel();
  const absl::Status status = Heard(stream->Finish());
  return wanted ? status : absl::OkStatus();
}

absl::Status GrpcExecutorClient::Watch(const std::function<void(const xpb::WatchResponse&)>& sink) {
  Call call(*this);
  const auto stream = Stub()->Watch(call.context(), xpb::WatchRequest());
  xpb::WatchResponse response;
  while (stream->Read(&response)) sink(response);
  return Heard(stream->Finish());
}

absl::Status GrpcExecutorClient::Acknowledge(uint64_t sequence) {
  Call call(*this, kQuick);
  xpb::AcknowledgeRequest request;
  request.set_sequence(sequence);
  xpb::AcknowledgeResponse response;
  return Heard(Stub()->Acknowledge(call.context(), request, &response));
}

absl::StatusOr<xpb::CreateCertificateRequestResponse>
GrpcExecutorClient::CreateCertificateRequest() {
  Call call(*this, kQuick);
  xpb::CreateCertificateRequestResponse response;
  SLIPWAY_RETURN_IF_ERROR(Heard(Stub()->CreateCertificateRequest(
      call.context(), xpb::CreateCertificateRequestRequest(), &response)));
  return response;
}

absl::Status GrpcExecutorClient::InstallCertificate(const xpb::InstallCertificateRequest& request) {
  Call call(*this, kQuick);
  xpb::InstallCertificateResponse response;
  return Heard(Stub()->InstallCertificate(call.context(), request, &response));
}

absl::Status GrpcExecutorClient::KeepHistoryHead(const xpb::HistoryHead& head, bool after_restore) {
  Call call(*this, kQuick);
  xpb::KeepHistoryHeadRequest request;
  *request.mutable_head() = head;
  request.set_after_restore(after_restore);
  xpb::KeepHistoryHeadResponse response;
  return Heard(Stub()->KeepHistoryHead(call.context(), request, &response));
}

absl::StatusOr<xpb::HistoryHead> GrpcExecutorClient::GetHistoryHead() {
  Call call(*this, kQuick);
  xpb::GetHistoryHeadResponse response;
  SLIPWAY_RETURN_IF_ERROR(
      Heard(Stub()->GetHistoryHead(call.context(), xpb::GetHistoryHeadRequest(), &response)));
  return response.head();
}

}  // namespace slipway::controller
