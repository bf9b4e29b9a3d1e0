// slipway.v1.DeploymentService. WatchDeployment is a reactor (watch.h), everything else is synchronous.
#pragma once

#include "controller/access/audit.h"
#include "controller/access/guard.h"
#include "controller/api/preview.h"
#include "controller/catalog/checks.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/reconciler.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/event_hub.h"

#include "slipway/v1/deployments.grpc.pb.h"

namespace slipway::controller {

using DeploymentServiceBase =
    pb::DeploymentService::WithCallbackMethod_WatchDeployment<pb::DeploymentService::Service>;

class DeploymentsService : public DeploymentServiceBase {
 public:
  DeploymentsService(const Guard& guard, Store& store, Admission& admission, Preview& preview,
                     EventHub& hub, Fleet& fleet, Checks& checks, Audit& audit,
                     Reconciler& reconciler, Attendance& attendance)
      : guard_(guard),
        store_(store),
        admission_(admission),
        preview_(preview),
        hub_(hub),
        fleet_(fleet),
        checks_(checks),
        audit_(audit),
        reconciler_(reconciler),
        attendance_(attendance) {}

  grpc::Status CreateDeployment(grpc::ServerContext* context,
                                const pb::CreateDeploymentRequest* request,
                                pb::CreateDeploymentResponse* response) override;
  grpc::Status RollbackApplication(grpc::ServerContext* context,
                                   const pb::RollbackApplicationRequest* request,
                                   pb::RollbackApplicationResponse* response) override;
  grpc::Status ReconcileApplication(grpc::ServerContext* context,
                                    const pb::ReconcileApplicationRequest* request,
                                    pb::ReconcileApplicationResponse* response) override;
  grpc::Status GetDeployment(grpc::ServerContext* context, const pb::GetDeploymentRequest* request,
                             pb::GetDeploymentResponse* response) override;
  grpc::Status ListDeployments(grpc::ServerContext* context,
                               const pb::ListDeploymentsRequest* request,
                               pb::ListDeploymentsResponse* response) override;
  grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* WatchDeployment(
      grpc::CallbackServerContext* context, const pb::WatchDeploymentRequest* request) override;
  grpc::Status ResumeDeployment(grpc::ServerContext* context,
                                const pb::ResumeDeploymentRequest* request,
                                pb::ResumeDeploymentResponse* response) override;
  grpc::Status CancelDeployment(grpc::ServerContext* context,
                                const pb::CancelDeploymentRequest* request,
                                pb::CancelDeploymentResponse* response) override;
  grpc::Status StreamLogs(grpc::ServerContext* context, const pb::StreamLogsRequest* request,
                          grpc::ServerWriter<pb::StreamLogsResponse>* writer) override;
  grpc::Status ListHistory(grpc::ServerContext* context, const pb::ListHistoryRequest* request,
                           pb::ListHistoryResponse* response) override;
  grpc::Status VerifyHistory(grpc::ServerContext* context, const pb::VerifyHistoryRequest* request,
                             pb::VerifyHistoryResponse* response) override;

 private:
  absl::Status CheckChecks(const Wish& wish, const Caller& caller);
  absl::Status Create(const Caller& caller, const pb::CreateDeploymentRequest& request,
                      pb::CreateDeploymentResponse& response);
  absl::Status PlanDraft(const std::string& app, const pb::CreateDeploymentRequest& request,
                         pb::CreateDeploymentResponse& response);
  absl::Status Rollback(const Caller& caller, const pb::RollbackApplicationRequest& request,
                        pb::RollbackApplicationResponse& response);
  absl::Status Reconcile(const Caller& caller, const pb::ReconcileApplicationRequest& request,
                         pb::ReconcileApplicationResponse& response);
  absl::Status Get(const pb::GetDeploymentRequest& request, pb::GetDeploymentResponse& response);
  absl::Status List(const pb::ListDeploymentsRequest& request,
                    pb::ListDeploymentsResponse& response);
  absl::Status Resume(const Caller& caller, const pb::ResumeDeploymentRequest& request,
                      pb::ResumeDeploymentResponse& response);
  absl::Status Cancel(const Caller& caller, const pb::CancelDeploymentRequest& request,
                      pb::CancelDeploymentResponse& response);
  absl::Status Logs(grpc::ServerContext& context, const pb::StreamLogsRequest& request,
                    grpc::ServerWriter<pb::StreamLogsResponse>& writer);
  absl::Status History(const pb::ListHistoryRequest& request, pb::ListHistoryResponse& response);

  const Guard& guard_;
  Store& store_;
  Admission& admission_;
  Preview& preview_;
  EventHub& hub_;
  Fleet& fleet_;
  Checks& checks_;
  Audit& audit_;
  Reconciler& reconciler_;
  Attendance& attendance_;
};

}  // namespace slipway::controller
