#include "controller/api/releases_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

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
    grpc::ServerContext* context, const pb::FindMissingBlobsRequest* request,
    grpc::ServerWriter<pb::FindMissingBlobsResponse>* writer) {
  if (const auto caller = guard_.Admit(*context, *request); !caller.ok()) {
    return ToGrpc(caller.status());
  }
  if (request->manifest_digest().size() != 32) {
    return ToGrpc(Error(absl::StatusCode::kInvalidArgument, "BAD_DIGEST",
                        "manifest_digest: a SHA-256 of 32 bytes is expected"));
  }
  if (const absl::Status fetched = files_.FetchTree(request->manifest_digest()); !fetched.ok()) {
    return ToGrpc(fetched);
  }
  const auto missing = FindMissing(files_.folder(), request->manifest_digest());
  if (!missing.ok()) return ToGrpc(missing.status());
  for (size_t i = 0; i < missing->size(); i += kDigestsPerPage) {
    pb::FindMissingBlobsResponse page;
    const size_t end = std::min(i + kDigestsPerPage, missing->size());
    for (size_t k = i; k < end; ++k) page.add_digests((*missing)[k]);
    if (!writer->Write(page)) return grpc::Status::CANCELLED;
  }
  return grpc::Status::OK;
}

grpc::Status ReleasesService::UploadBlobs(grpc::ServerContext* context,
                                          grpc::ServerReader<pb::UploadBlobsRequest>* reader,
                                          pb::UploadBlobsResponse* response) {
  const auto caller = guard_.Admit(*context, pb::UploadBlobsRequest());
  if (!caller.ok()) return ToGrpc(caller.status());
  const std::string& app = caller->identity.app();
  const std::string who = app.empty() ? caller->identity.name() : absl::StrCat("application ", app);
  if (const absl::Status begun = quota_.Begin(who); !begun.ok()) return ToGrpc(begun);
  const absl::Status received = Receive(who, *reader, *response);
  quota_.End(who);
  return ToGrpc(received);
}

absl::Status ReleasesService::Receive(const std::string& who,
                                      grpc::ServerReader<pb::UploadBlobsRequest>& reader,
                                      pb::UploadBlobsResponse& response) {
  UploadLimits limits;
  limits.file_bytes = quota_.limits().file_bytes();
  limits.upload_bytes = quota_.limits().upload_bytes();
  limits.reserve = [&](uint64_t bytes) { return quota_.Reserve(who, bytes); };
  limits.give_back = [&](uint64_t bytes) { quota_.GiveBack(who, bytes); };
  BlobReceiver receiver(files_.folder(), std::move(limits));
  pb::UploadBlobsRequest chunk;
  while (reader.Read(&chunk)) SLIPWAY_RETURN_IF_ERROR(receiver.Take(chunk));
  SLIPWAY_ASSIGN_OR_RETURN(response, receiver.Finish());
  return absl::OkStatus();
}

absl::Status ReleasesService::Create(const Caller& caller, const pb::CreateReleaseRequest& request,
                                     pb::CreateReleaseResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  ReleaseDraft draft{app, request.manifest_digest(), request.commit(), std::nullopt,
                     request.description()};
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, app, caller));
  const std::string& verified = caller.identity.commit();
  if (!verified.empty() && verified != request.commit()) {
    return Error(absl::StatusCode::kPermissionDenied, "COMMIT_NOT_VERIFIED",
                 absl::StrCat("commit: is not ", verified, ", the one that the workflow runs for"),
                 "deploy the commit that the workflow checked out");
  }
  if (request.has_commit_time()) draft.commit_time = FromProto(request.commit_time());
  SLIPWAY_ASSIGN_OR_RETURN(
      const ReleaseRecord record,
      releases_.Create(draft, RequestOf(request, request.request_id()), caller.actor));
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
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Create(caller, *request, *response); });
}
grpc::Status ReleasesService::GetRelease(grpc::ServerContext* context,
                                         const pb::GetReleaseRequest* request,
                                         pb::GetReleaseResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) { return Get(*request, *response); });
}
absl::Status ReleasesService::Report(const Caller& caller, const pb::ReportCheckRequest& request,
                                     pb::ReportCheckResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, app, caller));
  const std::string& verified = caller.identity.commit();
  if (!verified.empty() && verified != request.check().commit()) {
    return Error(
        absl::StatusCode::kPermissionDenied, "COMMIT_NOT_VERIFIED",
        absl::StrCat("check.commit: is not ", verified, ", the one that the workflow runs for"));
  }
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_check(),
                           checks_.Report(app, request.check(), caller.actor));
  return absl::OkStatus();
}

absl::Status ReleasesService::Checked(const pb::ListChecksRequest& request,
                                      pb::ListChecksResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  SLIPWAY_ASSIGN_OR_RETURN(const auto checks, checks_.List(app, request.commit()));
  response.mutable_checks()->Add(checks.begin(), checks.end());
  return absl::OkStatus();
}

grpc::Status ReleasesService::ReportCheck(grpc::ServerContext* context,
                                          const pb::ReportCheckRequest* request,
                                          pb::ReportCheckResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Report(caller, *request, *response); });
}
grpc::Status ReleasesService::ListChecks(grpc::ServerContext* context,
                                         const pb::ListChecksRequest* request,
                                         pb::ListChecksResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return Checked(*request, *response); });
}
grpc::Status ReleasesService::ListReleases(grpc::ServerContext* context,
                                           const pb::ListReleasesRequest* request,
                                           pb::ListReleasesResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return List(*request, *response); });
}

}  // namespace slipway::controller
