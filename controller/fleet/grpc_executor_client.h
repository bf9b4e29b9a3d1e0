// The ExecutorClient over gRPC. Safe from several threads; every call has a deadline of its own.
#pragma once

#include <memory>
#include <set>
#include <string>

#include <grpcpp/client_context.h>

#include "common/mutex.h"
#include "controller/fleet/executor_client.h"
#include "controller/store/release_files.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::controller {

class GrpcExecutorClient : public ExecutorClient {
 public:
  GrpcExecutorClient(std::shared_ptr<grpc::Channel> channel, ReleaseFiles& files);

  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request,
                                          const LogSink& log) override;
  absl::Status Cancel(const std::string& app, const std::string& operation_id) override;
  absl::Status SendRelease(const std::string& manifest_digest) override;
  absl::StatusOr<xpb::InspectResponse> Inspect(const std::string& app, bool compare) override;
  absl::StatusOr<pb::HostPlan> Plan(const xpb::PlanRequest& request) override;
  absl::StatusOr<xpb::CheckResponse> Check(const xpb::CheckRequest& request) override;
  absl::StatusOr<xpb::PlaceUpstreamResponse> PlaceUpstream(
      const xpb::PlaceUpstreamRequest& request) override;
  absl::Status StreamLogs(const xpb::StreamLogsRequest& request,
                          const std::function<bool(const xpb::StreamLogsResponse&)>& sink) override;
  void Shutdown() override;

  // Later calls go over this one; those under way end where they are.
  void UseChannel(std::shared_ptr<grpc::Channel> channel);

  // The host's state as it changes, until the stream ends: for the fleet. No deadline; keepalive notices a dead host.
  absl::Status Watch(const std::function<void(const xpb::WatchResponse&)>& sink);
  absl::Status Acknowledge(uint64_t sequence);

  // For controller/access/upkeep.h. UNIMPLEMENTED from an executor of before there were certificates.
  absl::StatusOr<xpb::CreateCertificateRequestResponse> CreateCertificateRequest();
  absl::Status InstallCertificate(const xpb::InstallCertificateRequest& request);
  absl::Status KeepHistoryHead(const xpb::HistoryHead& head, bool after_restore);
  // Sequence 0 when the host keeps none.
  absl::StatusOr<xpb::HistoryHead> GetHistoryHead();

 private:
  class Call;
  absl::StatusOr<std::vector<std::string>> Missing(const std::string& manifest_digest);
  absl::Status Upload(const std::vector<std::string>& digests);

  ReleaseFiles& files_;
  std::shared_ptr<xpb::ExecutorService::Stub> Stub();

  Mutex mutex_;
  std::shared_ptr<xpb::ExecutorService::Stub> stub_ SLIPWAY_GUARDED_BY(mutex_);
  bool shut_down_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> calls_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
