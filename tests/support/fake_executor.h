// A gRPC server that speaks the executor's contract over a SimulatedHost, on a unix socket, in this process.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <grpcpp/server.h>

#include "common/grpc_server.h"
#include "common/mutex.h"
#include "tests/support/simulated_host.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::controller {

class FakeExecutor : public xpb::ExecutorService::Service {
 public:
  FakeExecutor(std::string name, std::string socket);
  ~FakeExecutor() override;

  SimulatedHost& Host() { return host_; }
  // The step waits until it is released or cancelled.
  void Hold(const std::string& step);
  void Release();
  // Until the step was asked for.
  void AwaitStep(const std::string& step);
  size_t Blobs();

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
  grpc::Status Watch(grpc::ServerContext* context, const xpb::WatchRequest* request,
                     grpc::ServerWriter<xpb::WatchResponse>* writer) override;
  grpc::Status Acknowledge(grpc::ServerContext* context, const xpb::AcknowledgeRequest* request,
                           xpb::AcknowledgeResponse* response) override;
  void AwaitAcknowledged(uint64_t sequence);

 private:
  SimulatedHost host_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool cancelled_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::string held_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<std::string> asked_ SLIPWAY_GUARDED_BY(mutex_);
  std::set<std::string> blobs_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t acknowledged_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace slipway::controller
