// slipway.v1.ReleaseService.
#pragma once

#include "common/blob_store.h"
#include "controller/catalog/releases.h"
#include "controller/store/store.h"

#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::controller {

class ReleasesService : public pb::ReleaseService::Service {
 public:
  ReleasesService(Store& store, Releases& releases, BlobStore& blobs)
      : store_(store), releases_(releases), blobs_(blobs) {}

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

 private:
  absl::Status Create(const std::string& actor, const pb::CreateReleaseRequest& request,
                      pb::CreateReleaseResponse& response);
  absl::Status Get(const pb::GetReleaseRequest& request, pb::GetReleaseResponse& response);
  absl::Status List(const pb::ListReleasesRequest& request, pb::ListReleasesResponse& response);

  Store& store_;
  Releases& releases_;
  BlobStore& blobs_;
};

}  // namespace slipway::controller
