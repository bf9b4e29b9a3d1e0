#include "controller/api/applications_service.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/host_selector.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/access/placement.h"
#include "controller/api/edge.h"
#include "controller/rollout/crew.h"
#include "controller/rollout/order.h"

namespace slipway::controller {

absl::Status ApplicationsService::Apply(const Caller& caller,
                                        const pb::ApplyApplicationRequest& request,
                                        pb::ApplyApplicationResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec spec,
                           applications_.Check(request.spec(), fleet_.Labels()));
  const auto present = store_.GetApplication(spec.app());
  if (!present.ok() && !absl::IsNotFound(present.status())) return present.status();
  if (request.validate_only()) {
    ApplicationRecord would = present.ok() ? *present : ApplicationRecord();
    response.set_changed(!present.ok() ||
                         present->spec.SerializeAsString() != spec.SerializeAsString());
    would.app = spec.app();
    would.spec = spec;
    if (response.changed()) ++would.spec_revision;
    *response.mutable_application() = ToProto(would);
    return absl::OkStatus();
  }
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, spec.app(), caller));
  SLIPWAY_RETURN_IF_ERROR(CheckPlacement(present.ok() ? &present->spec : nullptr, spec, caller));
  SLIPWAY_ASSIGN_OR_RETURN(
      const Applied applied,
      store_.ApplyApplication(spec, RequestOf(request, request.request_id()), caller.actor));
  *response.mutable_application() = ToProto(applied.application);
  response.set_changed(applied.changed);
  PlaceUpstreams(spec, response);
  return absl::OkStatus();
}

// Sites that name the upstream can be loaded from then on, and new applications whose sites are there
// already do not wait for each other's first deployment.
void ApplicationsService::PlaceUpstreams(const pb::ApplicationSpec& spec,
                                         pb::ApplyApplicationResponse& response) {
  if (spec.has_site()) return;
  std::vector<std::string> hosts = SelectHosts(spec.hosts(), fleet_.Labels());
  std::erase_if(hosts, [&](const std::string& host) {
    const HostObservation seen = fleet_.Observe(host);
    const auto known = seen.applications.find(spec.app());
    return !seen.connected || (known != seen.applications.end() && known->second.generation() != 0);
  });
  xpb::PlaceUpstreamRequest request;
  *request.mutable_spec() = spec;
  std::vector<absl::StatusOr<xpb::PlaceUpstreamResponse>> answers(hosts.size(),
                                                                  absl::UnknownError(""));
  InParallel(hosts.size(), kHostsAtATime, [&](size_t i) {
    const auto client = fleet_.Client(hosts[i]);
    answers[i] = client == nullptr ? absl::UnavailableError("the host was removed")
                                   : client->PlaceUpstream(request);
  });
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (absl::IsUnimplemented(answers[i].status())) continue;
    if (answers[i].ok() && !answers[i]->written()) continue;
    pb::PlacedUpstream& placed = *response.add_placed_upstreams();
    placed.set_host(hosts[i]);
    placed.set_file(spec.nginx().file());
    placed.set_loaded(answers[i].ok() && answers[i]->loaded());
    if (!answers[i].ok()) {
      placed.set_problem(MessageWithCure(answers[i].status()));
    } else if (!answers[i]->waits_for().empty()) {
      placed.set_problem(
          absl::StrCat(spec.nginx().file(),
                       " is written, and nginx has not loaded it: ", answers[i]->waits_for()));
    }
  }
}

// What is stored of an application, and what its hosts were last seen to run.
absl::StatusOr<pb::Application> ApplicationsService::Describe(const ApplicationRecord& record) {
  pb::Application application = ToProto(record);
  SLIPWAY_ASSIGN_OR_RETURN(const auto desired, convergence_.DesiredOf(record.app));
  std::map<std::string, HostPlace> places;
  if (desired) {
    application.set_desired_release(ReleaseName(record.app, desired->release));
    SLIPWAY_ASSIGN_OR_RETURN(const auto all, convergence_.PlacesOf(*desired));
    for (const HostPlace& place : all) places[place.host] = place;
  }
  // Those that its file names now, and those that what serves was deployed to.
  std::vector<std::string> hosts = SelectHosts(record.spec.hosts(), fleet_.Labels());
  for (const auto& [host, place] : places) {
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  }
  for (const std::string& host : hosts) {
    pb::HostStatus& status = *application.add_hosts();
    status = StatusOf(host, record.app, fleet_.Observe(host));
    const auto place = places.find(host);
    if (place == places.end()) continue;
    status.set_standing(place->second.standing);
    status.set_standing_text(place->second.text);
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(record.app, 1));
  if (!served.empty()) {
    application.set_current_deployment(DeploymentName(record.app, served[0].id));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(record.app));
  SLIPWAY_ASSIGN_OR_RETURN(const auto allowances, applications_.Allowances(record.app));
  application.mutable_allowances()->Add(allowances.begin(), allowances.end());
  if (!running.empty()) application.set_running_deployment(DeploymentName(record.app, running));
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  for (const auto& [app, id] : queued) {
    if (app == record.app) application.set_queued_deployment(DeploymentName(app, id));
  }
  return application;
}

absl::Status ApplicationsService::Drift(const pb::GetDriftRequest& request,
                                        pb::GetDriftResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_ASSIGN_OR_RETURN(const auto desired, convergence_.DesiredOf(app));
  if (!desired) return absl::OkStatus();
  response.set_desired_release(ReleaseName(app, desired->release));
  const std::vector<std::string> names = SelectHosts(desired->spec.hosts(), fleet_.Labels());
  std::vector<HostObservation> seen(names.size());
  InParallel(names.size(), kHostsAtATime,
             [&](size_t i) { seen[i] = fleet_.Compare(names[i], app); });
  std::map<std::string, const HostObservation*> by_name;
  for (size_t i = 0; i < names.size(); ++i) by_name[names[i]] = &seen[i];
  SLIPWAY_ASSIGN_OR_RETURN(const auto places,
                           convergence_.PlacesOf(*desired, [&](const std::string& host) {
                             const auto found = by_name.find(host);
                             return found == by_name.end() ? fleet_.Observe(host) : *found->second;
                           }));
  for (const HostPlace& place : places) {
    pb::HostDrift& drift = *response.add_hosts();
    drift.set_host(place.host);
    drift.set_standing(place.standing);
    drift.set_standing_text(place.text);
    drift.mutable_differences()->Add(place.differences.begin(), place.differences.end());
  }
  return absl::OkStatus();
}

absl::Status ApplicationsService::Get(const pb::GetApplicationRequest& request,
                                      pb::GetApplicationResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_application(), Describe(record));
  return absl::OkStatus();
}

absl::Status ApplicationsService::List(const Caller& caller,
                                       const pb::ListApplicationsRequest& request,
                                       pb::ListApplicationsResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  SLIPWAY_ASSIGN_OR_RETURN(const auto records, store_.ListApplications(request.page_token(), size));
  for (const ApplicationRecord& record : records) {
    // Shown what it may see, and nothing of the others' names.
    if (!caller.identity.app().empty() && caller.identity.app() != record.app) continue;
    SLIPWAY_ASSIGN_OR_RETURN(*response.add_applications(), Describe(record));
  }
  if (static_cast<int>(records.size()) == size) {
    response.set_next_page_token(records.back().app);
  }
  return absl::OkStatus();
}

absl::Status ApplicationsService::Set(const Caller& caller,
                                      const pb::SetEnvironmentRequest& request,
                                      pb::SetEnvironmentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  if (!request.env_file().empty() && !request.variables().empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BOTH_ENVIRONMENTS",
                 "env_file and variables exclude each other");
  }
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, app, caller));
  Request id = RequestOf(request, request.request_id());
  // A plain hash of secrets would let a thief of the database guess them.
  if (!id.id.empty()) id.parameters_hash = box_.Fingerprint(app, id.parameters_hash);
  absl::StatusOr<EnvironmentChange> change =
      request.variables().empty()
          ? applications_.SetEnvironment(app, request.env_file(), id, caller.actor)
          : applications_.SetVariables(
                app, {request.variables().begin(), request.variables().end()}, id, caller.actor);
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
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Apply(caller, *request, *response); });
}
grpc::Status ApplicationsService::GetApplication(grpc::ServerContext* context,
                                                 const pb::GetApplicationRequest* request,
                                                 pb::GetApplicationResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) { return Get(*request, *response); });
}
grpc::Status ApplicationsService::ListApplications(grpc::ServerContext* context,
                                                   const pb::ListApplicationsRequest* request,
                                                   pb::ListApplicationsResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return List(caller, *request, *response); });
}
grpc::Status ApplicationsService::GetDrift(grpc::ServerContext* context,
                                           const pb::GetDriftRequest* request,
                                           pb::GetDriftResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return Drift(*request, *response); });
}
grpc::Status ApplicationsService::SetEnvironment(grpc::ServerContext* context,
                                                 const pb::SetEnvironmentRequest* request,
                                                 pb::SetEnvironmentResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Set(caller, *request, *response); });
}
absl::Status ApplicationsService::SetAllowed(const Caller& caller,
                                             const pb::SetAllowancesRequest& request,
                                             pb::SetAllowancesResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(
      const bool changed,
      applications_.SetAllowances(app, {request.allowances().begin(), request.allowances().end()},
                                  caller.actor));
  response.set_changed(changed);
  *response.mutable_allowances() = request.allowances();
  return absl::OkStatus();
}

grpc::Status ApplicationsService::SetAllowances(grpc::ServerContext* context,
                                                const pb::SetAllowancesRequest* request,
                                                pb::SetAllowancesResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return SetAllowed(caller, *request, *response); });
}
grpc::Status ApplicationsService::ListEnvironment(grpc::ServerContext* context,
                                                  const pb::ListEnvironmentRequest* request,
                                                  pb::ListEnvironmentResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return Names(*request, *response); });
}

}  // namespace slipway::controller
