// slipway.v1.ApplicationService.
#pragma once

#include "controller/access/guard.h"
#include "controller/catalog/applications.h"
#include "controller/fleet/convergence.h"
#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/v1/applications.grpc.pb.h"

namespace slipway::controller {

class ApplicationsService : public pb::ApplicationService::Service {
 public:
  ApplicationsService(const Guard& guard, Store& store, Applications& applications,
                      const SecretBox& box, Fleet& fleet, Convergence& convergence)
      : guard_(guard),
        store_(store),
        applications_(applications),
        box_(box),
        fleet_(fleet),
        convergence_(convergence) {}

  grpc::Status ApplyApplication(grpc::ServerContext* context,
                                const pb::ApplyApplicationRequest* request,
                                pb::ApplyApplicationResponse* response) override;
  grpc::Status GetApplication(grpc::ServerContext* context,
                              const pb::GetApplicationRequest* request,
                              pb::GetApplicationResponse* response) override;
  grpc::Status ListApplications(grpc::ServerContext* context,
                                const pb::ListApplicationsRequest* request,
                                pb::ListApplicationsResponse* response) override;
  grpc::Status GetDrift(grpc::ServerContext* context, const pb::GetDriftRequest* request,
                        pb::GetDriftResponse* response) override;
  grpc::Status SetEnvironment(grpc::ServerContext* context,
                              const pb::SetEnvironmentRequest* request,
                              pb::SetEnvironmentResponse* response) override;
  grpc::Status ListEnvironment(grpc::ServerContext* context,
                               const pb::ListEnvironmentRequest* request,
                               pb::ListEnvironmentResponse* response) override;
  grpc::Status SetAllowances(grpc::ServerContext* context, const pb::SetAllowancesRequest* request,
                             pb::SetAllowancesResponse* response) override;

 private:
  absl::StatusOr<pb::Application> Describe(const ApplicationRecord& record);
  absl::Status Apply(const Caller& caller, const pb::ApplyApplicationRequest& request,
                     pb::ApplyApplicationResponse& response);
  void PlaceUpstreams(const pb::ApplicationSpec& spec, pb::ApplyApplicationResponse& response);
  absl::Status Get(const pb::GetApplicationRequest& request, pb::GetApplicationResponse& response);
  absl::Status Drift(const pb::GetDriftRequest& request, pb::GetDriftResponse& response);
  absl::Status SetAllowed(const Caller& caller, const pb::SetAllowancesRequest& request,
                          pb::SetAllowancesResponse& response);
  absl::Status List(const Caller& caller, const pb::ListApplicationsRequest& request,
                    pb::ListApplicationsResponse& response);
  absl::Status Set(const Caller& caller, const pb::SetEnvironmentRequest& request,
                   pb::SetEnvironmentResponse& response);
  absl::Status Names(const pb::ListEnvironmentRequest& request,
                     pb::ListEnvironmentResponse& response);

  const Guard& guard_;
  Store& store_;
  Applications& applications_;
  const SecretBox& box_;
  Fleet& fleet_;
  Convergence& convergence_;
};

}  // namespace slipway::controller
