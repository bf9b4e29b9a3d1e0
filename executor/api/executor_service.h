// The gRPC edge of the executor: each handler checks its input, makes one call into the domain and
// fills the answer.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "executor/api/gate.h"
#include "executor/operations.h"
#include "executor/steps/steps.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::executor {

class Doctor;
class HostWatch;

// Everything the handlers call; all of it outlives the service.
struct ServiceParts {
  Journal& journal;
  Operations& operations;
  Steps& steps;
  ReleaseStore& releases;
  NginxDriver& nginx;
  HostWatch& watch;
  Doctor& doctor;
  Credentials& credentials;
  Paths paths;
};

class ExecutorService final : public xpb::ExecutorService::Service {
 public:
  ExecutorService(Gate gate, ServiceParts parts) : gate_(gate), parts_(std::move(parts)) {}

  grpc::Status Execute(grpc::ServerContext* context, const xpb::ExecuteRequest* request,
                       grpc::ServerWriter<xpb::ExecuteResponse>* writer) override;
  grpc::Status Cancel(grpc::ServerContext* context, const xpb::CancelRequest* request,
                      xpb::CancelResponse* response) override;
  grpc::Status Inspect(grpc::ServerContext* context, const xpb::InspectRequest* request,
                       xpb::InspectResponse* response) override;
  grpc::Status FindMissingBlobs(grpc::ServerContext* context,
                                const xpb::FindMissingBlobsRequest* request,
                                grpc::ServerWriter<xpb::FindMissingBlobsResponse>* writer) override;
  grpc::Status UploadBlobs(grpc::ServerContext* context,
                           grpc::ServerReader<xpb::UploadBlobsRequest>* reader,
                           xpb::UploadBlobsResponse* response) override;
  grpc::Status Plan(grpc::ServerContext* context, const xpb::PlanRequest* request,
                    xpb::PlanResponse* response) override;
  grpc::Status Check(grpc::ServerContext* context, const xpb::CheckRequest* request,
                     xpb::CheckResponse* response) override;
  grpc::Status PlaceUpstream(grpc::ServerContext* context, const xpb::PlaceUpstreamRequest* request,
                             xpb::PlaceUpstreamResponse* response) override;
  grpc::Status StreamLogs(grpc::ServerContext* context, const xpb::StreamLogsRequest* request,
                          grpc::ServerWriter<xpb::StreamLogsResponse>* writer) override;
  grpc::Status Watch(grpc::ServerContext* context, const xpb::WatchRequest* request,
                     grpc::ServerWriter<xpb::WatchResponse>* writer) override;
  grpc::Status Acknowledge(grpc::ServerContext* context, const xpb::AcknowledgeRequest* request,
                           xpb::AcknowledgeResponse* response) override;
  grpc::Status RollbackLocally(grpc::ServerContext* context,
                               const xpb::RollbackLocallyRequest* request,
                               xpb::RollbackLocallyResponse* response) override;
  grpc::Status CreateCertificateRequest(grpc::ServerContext* context,
                                        const xpb::CreateCertificateRequestRequest* request,
                                        xpb::CreateCertificateRequestResponse* response) override;
  grpc::Status InstallCertificate(grpc::ServerContext* context,
                                  const xpb::InstallCertificateRequest* request,
                                  xpb::InstallCertificateResponse* response) override;
  grpc::Status KeepHistoryHead(grpc::ServerContext* context,
                               const xpb::KeepHistoryHeadRequest* request,
                               xpb::KeepHistoryHeadResponse* response) override;
  grpc::Status GetHistoryHead(grpc::ServerContext* context,
                              const xpb::GetHistoryHeadRequest* request,
                              xpb::GetHistoryHeadResponse* response) override;

 private:
  absl::StatusOr<xpb::ApplicationState> StateOf(const std::string& app);
  xpb::HostInfo DescribeHost();

  const Gate gate_;
  ServiceParts parts_;
};

}  // namespace slipway::executor
