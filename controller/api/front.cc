#include "controller/api/front.h"

#include <utility>

#include "common/status.h"
#include "common/user.h"
#include "controller/api/access_service.h"
#include "controller/api/applications_service.h"
#include "controller/api/deployments_service.h"
#include "controller/api/releases_service.h"

namespace slipway::controller {

UserServices Front::Serve(Guard guard) {
  const FrontParts& p = parts_;
  apis_.push_back(std::make_unique<Api>(std::move(guard)));
  const Guard& door = apis_.back()->guard;
  auto& services = apis_.back()->services;
  services.push_back(std::make_unique<ApplicationsService>(door, p.store, p.applications, p.box,
                                                           p.fleet, p.convergence));
  services.push_back(std::make_unique<ReleasesService>(door, p.store, p.releases, p.files, p.checks,
                                                       p.upload_quota));
  services.push_back(std::make_unique<DeploymentsService>(door, p.store, p.admission, p.preview,
                                                          p.hub, p.fleet, p.checks, p.audit,
                                                          p.reconciler, p.attendance));
  services.push_back(std::make_unique<HostsService>(
      door, p.store, p.fleet, p.registry, p.reconciler, p.enrolments, p.certificates, p.about));
  services.push_back(
      std::make_unique<AccessService>(door, p.tokens, p.trusts, p.certificates, p.upkeep));
  UserServices served;
  for (const auto& service : services) served.services.push_back(service.get());
  served.admit = [&door](const grpc::ServerContextBase& context,
                         const google::protobuf::Message& request) {
    return door.Admit(context, request).status();
  };
  return served;
}

absl::StatusOr<std::unique_ptr<Front>> Front::Open(Guard guard, const FrontParts& parts,
                                                   GrpcServerOptions options) {
  std::unique_ptr<Front> front(new Front(std::move(guard), parts));
  options.names = {pb::ApplicationService::service_full_name(),
                   pb::ReleaseService::service_full_name(),
                   pb::DeploymentService::service_full_name(), pb::HostService::service_full_name(),
                   pb::AccessService::service_full_name()};
  std::vector<grpc::Service*> services;
  if (front->guard_.openers() == Guard::Openers::kOperators) {
    options.for_user = [front = front.get()](uid_t user) {
      return front->Serve(front->guard_.ForUser(UserNameOf(user)));
    };
  } else {
    UserServices served = front->Serve(front->guard_);
    services = std::move(served.services);
    options.admit = std::move(served.admit);
  }
  SLIPWAY_ASSIGN_OR_RETURN(front->server_, StartGrpcServer(options, services));
  return front;
}

void Front::Close(std::chrono::milliseconds after) {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + after);
  server_->Wait();
}

}  // namespace slipway::controller
