// slipway.v1.ReleaseService.
#pragma once

#include "common/blob_store.h"
#include "controller/access/guard.h"
#include "controller/catalog/checks.h"
#include "controller/catalog/releases.h"
#include "controller/catalog/upload_quota.h"
#include "controller/store/store.h"

#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::controller {

class ReleasesService : public pb::ReleaseService::Service {
 public:
  ReleasesService(const Guard& guard, Store& store, Releases& releases, ReleaseFiles& files,
                  Checks& checks, UploadQuota& quota)
      : guard_(guard),
        store_(store),
        releases_(releases),
        files_(files),
        checks_(checks),
        quota_(quota) {}

  grpc::Status FindMissingBlobs(grpc::ServerContext* context,
                                const pb::FindMissingBlobsRequest* request,
                                grpc::ServerWriter<pb::FindMissingBlobsResponse>* writer) override;
  grpc::Status UploadBlobs(grpc::ServerContext* context,
                           grpc::ServerReader<pb::UploadBlobsRequest>* reader,
                           pb::UploadBlobsResponse* response) override;
  grpc::Status CreateRelease(grpc::ServerContext* context, const pb::CreateReleaseRequest* request,
                             pb::CreateReleaseResponse* response) override;
  grpc::Status GetRelease(grpc::ServerContext* context, const pb::GetReleaseRequest* request,
                          pb::GetReleaseResponse* response) override;
  grpc::Status ListReleases(grpc::ServerContext* context, const pb::ListReleasesRequest* request,
                            pb::ListReleasesResponse* response) override;
  grpc::Status ReportCheck(grpc::ServerContext* context, const pb::ReportCheckRequest* request,
                           pb::ReportCheckResponse* response) override;
  grpc::Status ListChecks(grpc::ServerContext* context, const pb::ListChecksRequest* request,
                          pb::ListChecksResponse* response) override;

 private:
  absl::Status Receive(const std::string& who, grpc::ServerReader<pb::UploadBlobsRequest>& reader,
                       pb::UploadBlobsResponse& response);
  absl::Status Create(const Caller& caller, const pb::CreateReleaseRequest& request,
                      pb::CreateReleaseResponse& response);
  absl::Status Get(const pb::GetReleaseRequest& request, pb::GetReleaseResponse& response);
  absl::Status Report(const Caller& caller, const pb::ReportCheckRequest& request,
                      pb::ReportCheckResponse& response);
  absl::Status Checked(const pb::ListChecksRequest& request, pb::ListChecksResponse& response);
  absl::Status List(const pb::ListReleasesRequest& request, pb::ListReleasesResponse& response);

  const Guard& guard_;
  Store& store_;
  Releases& releases_;
  ReleaseFiles& files_;
  Checks& checks_;
  UploadQuota& quota_;
};

}  // namespace slipway::controller
