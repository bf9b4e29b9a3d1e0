#include "controller/api/applications_service.h"

#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/api/edge.h"

namespace slipway::controller {

absl::Status ApplicationsService::Apply(const std::string& actor,
                                        const pb::ApplyApplicationRequest& request,
                                        pb::ApplyApplicationResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec spec,
                           applications_.Check(request.spec(), fleet_.HostNames()));
  if (request.validate_only()) {
    const auto present = store_.GetApplication(spec.app());
    if (!present.ok() && !absl::IsNotFound(present.status())) return present.status();
    ApplicationRecord would = present.ok() ? *present : ApplicationRecord();
    response.set_changed(!present.ok() ||
                         present->spec.SerializeAsString() != spec.SerializeAsString());
    would.app = spec.app();
    would.spec = spec;
    if (response.changed()) ++would.spec_revision;
    *response.mutable_application() = ToProto(would);
    return absl::OkStatus();
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      const Applied applied,
      store_.ApplyApplication(spec, RequestOf(request, request.request_id()), actor));
  *response.mutable_application() = ToProto(applied.application);
  response.set_changed(applied.changed);
  return absl::OkStatus();
}

// What is stored of an application, and what its hosts were last seen to run.
absl::StatusOr<pb::Application> ApplicationsService::Describe(const ApplicationRecord& record) {
  pb::Application application = ToProto(record);
  for (const std::string& host : record.spec.hosts()) {
    *application.add_hosts() = StatusOf(host, record.app, fleet_.Observe(host));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(record.app, 1));
  if (!served.empty()) {
    application.set_current_deployment(DeploymentName(record.app, served[0].id));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(record.app));
  if (!running.empty()) application.set_running_deployment(DeploymentName(record.app, running));
  return application;
}

absl::Status ApplicationsService::Get(const pb::GetApplicationRequest& request,
                                      pb::GetApplicationResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_application(), Describe(record));
  return absl::OkStatus();
}

absl::Status ApplicationsService::List(const pb::ListApplicationsRequest& request,
                                       pb::ListApplicationsResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListApplications(request.page_token(), size));
  for (const ApplicationRecord& record : records) {
    SLIPWAY_ASSIGN_OR_RETURN(*response.add_applications(), Describe(record));
  }
  if (static_cast<int>(records.size()) == size) {
    response.set_next_page_token(records.back().app);
  }
  return absl::OkStatus();
}

absl::Status ApplicationsService::Set(const std::string& actor,
                                      const pb::SetEnvironmentRequest& request,
                                      pb::SetEnvironmentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  if (!request.env_file().empty() && !request.variables().empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BOTH_ENVIRONMENTS",
                 "env_file and variables exclude each other");
  }
  Request id = RequestOf(request, request.request_id());
  // A plain hash of secrets would let a thief of the database guess them.
  if (!id.id.empty()) id.parameters_hash = box_.Fingerprint(app, id.parameters_hash);
  absl::StatusOr<EnvironmentChange> change =
      request.variables().empty()
          ? applications_.SetEnvironment(app, request.env_file(), id, actor)
          : applications_.SetVariables(
                app, {request.variables().begin(), request.variables().end()}, id, actor);
  if (!change.ok()) return change.status();
  response.set_environment_revision(change->revision);
  response.set_changed(change->changed);
  for (const std::string& name : change->names) response.add_names(name);
  return absl::OkStatus();
}

absl::Status ApplicationsService::Names(const pb::ListEnvironmentRequest& request,
                                        pb::ListEnvironmentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
  response.set_environment_revision(record.environment_revision);
  if (record.environment_revision == 0) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const EnvironmentRecord environment,
                           store_.GetEnvironment(app, record.environment_revision));
  *response.mutable_update_time() = slipway::ToProto(environment.create_time);
  SLIPWAY_ASSIGN_OR_RETURN(const auto variables,
                           applications_.Environment(app, record.environment_revision));
  for (const auto& [name, value] : variables) response.add_names(name);
  return absl::OkStatus();
}

grpc::Status ApplicationsService::ApplyApplication(grpc::ServerContext* context,
                                                   const pb::ApplyApplicationRequest* request,
                                                   pb::ApplyApplicationResponse* response) {
  return ToGrpc(Apply(ActorOf(*context), *request, *response));
}
grpc::Status ApplicationsService::GetApplication(grpc::ServerContext*,
                                                 const pb::GetApplicationRequest* request,
                                                 pb::GetApplicationResponse* response) {
  return ToGrpc(Get(*request, *response));
}
grpc::Status ApplicationsService::ListApplications(grpc::ServerContext*,
                                                   const pb::ListApplicationsRequest* request,
                                                   pb::ListApplicationsResponse* response) {
  return ToGrpc(List(*request, *response));
}
grpc::Status ApplicationsService::SetEnvironment(grpc::ServerContext* context,
                                                 const pb::SetEnvironmentRequest* request,
                                                 pb::SetEnvironmentResponse* response) {
  return ToGrpc(Set(ActorOf(*context), *request, *response));
}
grpc::Status ApplicationsService::ListEnvironment(grpc::ServerContext*,
                                                  const pb::ListEnvironmentRequest* request,
                                                  pb::ListEnvironmentResponse* response) {
  return ToGrpc(Names(*request, *response));
}

}  // namespace slipway::controller
