#include "controller/api/releases_service.h"

#include <algorithm>

#include "common/blob_transfer.h"
#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/api/edge.h"

namespace slipway::controller {
namespace {
constexpr size_t kDigestsPerPage = 4096;
}  // namespace

grpc::Status ReleasesService::FindMissingBlobs(
    grpc::ServerContext*, const pb::FindMissingBlobsRequest* request,
    grpc::ServerWriter<pb::FindMissingBlobsResponse>* writer) {
  if (request->manifest_digest().size() != 32) {
    return ToGrpc(Error(absl::StatusCode::kInvalidArgument, "BAD_DIGEST",
                        "manifest_digest: a SHA-256 of 32 bytes is expected"));
  }
  const auto missing = FindMissing(blobs_, request->manifest_digest());
  if (!missing.ok()) return ToGrpc(missing.status());
  for (size_t i = 0; i < missing->size(); i += kDigestsPerPage) {
    pb::FindMissingBlobsResponse page;
    const size_t end = std::min(i + kDigestsPerPage, missing->size());
    for (size_t k = i; k < end; ++k) page.add_digests((*missing)[k]);
    if (!writer->Write(page)) return grpc::Status::CANCELLED;
  }
  return grpc::Status::OK;
}

grpc::Status ReleasesService::UploadBlobs(grpc::ServerContext*,
                                          grpc::ServerReader<pb::UploadBlobsRequest>* reader,
                                          pb::UploadBlobsResponse* response) {
  BlobReceiver receiver(blobs_);
  pb::UploadBlobsRequest chunk;
  while (reader->Read(&chunk)) {
    const absl::Status taken = receiver.Take(chunk);
    if (!taken.ok()) return ToGrpc(taken);
  }
  auto totals = receiver.Finish();
  if (!totals.ok()) return ToGrpc(totals.status());
  *response = *std::move(totals);
  return grpc::Status::OK;
}

absl::Status ReleasesService::Create(const std::string& actor,
                                     const pb::CreateReleaseRequest& request,
                                     pb::CreateReleaseResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  ReleaseDraft draft{app, request.manifest_digest(), request.commit(), std::nullopt,
                     request.description()};
  if (request.has_commit_time()) draft.commit_time = FromProto(request.commit_time());
  SLIPWAY_ASSIGN_OR_RETURN(
      const ReleaseRecord record,
      releases_.Create(draft, RequestOf(request, request.request_id()), actor));
  *response.mutable_release() = ToProto(record);
  return absl::OkStatus();
}

absl::Status ReleasesService::Get(const pb::GetReleaseRequest& request,
                                  pb::GetReleaseResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRef ref, ParseReleaseName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord record, store_.GetRelease(ref.app, ref.release));
  *response.mutable_release() = ToProto(record);
  return absl::OkStatus();
}

absl::Status ReleasesService::List(const pb::ListReleasesRequest& request,
                                   pb::ListReleasesResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_ASSIGN_OR_RETURN(const auto records,
                           store_.ListReleases(app, request.page_token(), size));
  for (const ReleaseRecord& record : records) *response.add_releases() = ToProto(record);
  if (static_cast<int>(records.size()) == size) response.set_next_page_token(records.back().id);
  return absl::OkStatus();
}

grpc::Status ReleasesService::CreateRelease(grpc::ServerContext* context,
                                            const pb::CreateReleaseRequest* request,
                                            pb::CreateReleaseResponse* response) {
  return ToGrpc(Create(ActorOf(*context), *request, *response));
}
grpc::Status ReleasesService::GetRelease(grpc::ServerContext*, const pb::GetReleaseRequest* request,
                                         pb::GetReleaseResponse* response) {
  return ToGrpc(Get(*request, *response));
}
grpc::Status ReleasesService::ListReleases(grpc::ServerContext*,
                                           const pb::ListReleasesRequest* request,
                                           pb::ListReleasesResponse* response) {
  return ToGrpc(List(*request, *response));
}

}  // namespace slipway::controller
