// slipway.v1.DeploymentService. WatchDeployment is a reactor (watch.h), everything else is synchronous.
#pragma once

#include "controller/api/preview.h"
#include "controller/fleet/fleet.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/event_hub.h"

#include "slipway/v1/deployments.grpc.pb.h"

namespace slipway::controller {

using DeploymentServiceBase =
    pb::DeploymentService::WithCallbackMethod_WatchDeployment<pb::DeploymentService::Service>;

class DeploymentsService : public DeploymentServiceBase {
 public:
  DeploymentsService(Store& store, Admission& admission, Preview& preview, EventHub& hub,
                     Fleet& fleet)
      : store_(store), admission_(admission), preview_(preview), hub_(hub), fleet_(fleet) {}

  grpc::Status CreateDeployment(grpc::ServerContext* context,
                                const pb::CreateDeploymentRequest* request,
                                pb::CreateDeploymentResponse* response) override;
  grpc::Status RollbackApplication(grpc::ServerContext* context,
                                   const pb::RollbackApplicationRequest* request,
                                   pb::RollbackApplicationResponse* response) override;
  grpc::Status GetDeployment(grpc::ServerContext* context, const pb::GetDeploymentRequest* request,
                             pb::GetDeploymentResponse* response) override;
  grpc::Status ListDeployments(grpc::ServerContext* context,
                               const pb::ListDeploymentsRequest* request,
                               pb::ListDeploymentsResponse* response) override;
  grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* WatchDeployment(
      grpc::CallbackServerContext* context, const pb::WatchDeploymentRequest* request) override;
  grpc::Status CancelDeployment(grpc::ServerContext* context,
                                const pb::CancelDeploymentRequest* request,
                                pb::CancelDeploymentResponse* response) override;
  grpc::Status StreamLogs(grpc::ServerContext* context, const pb::StreamLogsRequest* request,
                          grpc::ServerWriter<pb::StreamLogsResponse>* writer) override;
  grpc::Status ListHistory(grpc::ServerContext* context, const pb::ListHistoryRequest* request,
                           pb::ListHistoryResponse* response) override;

 private:
  absl::Status Create(const std::string& actor, const pb::CreateDeploymentRequest& request,
                      pb::CreateDeploymentResponse& response);
  absl::Status PlanDraft(const std::string& app, const pb::CreateDeploymentRequest& request,
                         pb::CreateDeploymentResponse& response);
  absl::Status Rollback(const std::string& actor, const pb::RollbackApplicationRequest& request,
                        pb::RollbackApplicationResponse& response);
  absl::Status Get(const pb::GetDeploymentRequest& request, pb::GetDeploymentResponse& response);
  absl::Status List(const pb::ListDeploymentsRequest& request,
                    pb::ListDeploymentsResponse& response);
  absl::Status Cancel(const std::string& actor, const pb::CancelDeploymentRequest& request,
                      pb::CancelDeploymentResponse& response);
  absl::Status Logs(grpc::ServerContext& context, const pb::StreamLogsRequest& request,
                    grpc::ServerWriter<pb::StreamLogsResponse>& writer);
  absl::Status History(const pb::ListHistoryRequest& request, pb::ListHistoryResponse& response);

  Store& store_;
  Admission& admission_;
  Preview& preview_;
  EventHub& hub_;
  Fleet& fleet_;
};

}  // namespace slipway::controller
