#include "controller/api/hosts_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/api/edge.h"
#include "controller/api/self_check.h"

namespace slipway::controller {
namespace {
constexpr std::chrono::seconds kConnect{10};
}  // namespace

pb::Host HostsService::Describe(const HostConfig& host) {
  pb::Host described = ToProto(host, fleet_.Observe(host.name));
  if (auto cordon = registry_.CordonOf(host.name)) *described.mutable_cordon() = *std::move(cordon);
  return described;
}

absl::Status HostsService::List(const pb::ListHostsRequest& request,
                                pb::ListHostsResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  for (const HostConfig& host : fleet_.Hosts()) {
    if (host.name <= request.page_token()) continue;
    if (response.hosts_size() == size) {
      SLIPWAY_ASSIGN_OR_RETURN(const std::string last,
                               ParseHostName(response.hosts(size - 1).name()));
      response.set_next_page_token(last);
      break;
    }
    *response.add_hosts() = Describe(host);
  }
  return absl::OkStatus();
}

absl::Status HostsService::Check(const pb::CheckHostRequest& request,
                                 pb::CheckHostResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string host, ParseHostName(request.name()));
  const auto client = fleet_.Client(host);
  if (client == nullptr) {
    return Error(absl::StatusCode::kNotFound, "UNKNOWN_HOST",
                 absl::StrCat("the controller knows no host '", host, "'"),
                 "`slipway hosts list` shows those that it knows", request.name());
  }
  xpb::CheckRequest check;
  if (!request.application().empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.application()));
    SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
    *check.mutable_spec() = record.spec;
  }
  // One that was added a moment ago is on its way.
  const HostObservation seen = fleet_.AwaitConnected(host, kConnect);
  if (!seen.connected) {
    return Error(absl::StatusCode::kFailedPrecondition, "HOST_UNREACHABLE",
                 absl::StrCat("the controller does not reach host ", host, ": ", seen.problem),
                 "is slipway-executor running there, and is the address right?", request.name());
  }
  const Time before = std::chrono::system_clock::now();
  const auto answer = client->Check(check);
  if (!answer.ok()) return Annotate(answer.status(), HostName(host));
  *response.mutable_findings() = answer->findings();
  *response.add_findings() =
      CheckClock(before, FromProto(answer->time()), std::chrono::system_clock::now());
  return absl::OkStatus();
}

grpc::Status HostsService::ListHosts(grpc::ServerContext* context,
                                     const pb::ListHostsRequest* request,
                                     pb::ListHostsResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return List(*request, *response); });
}
grpc::Status HostsService::CheckHost(grpc::ServerContext* context,
                                     const pb::CheckHostRequest* request,
                                     pb::CheckHostResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return Check(*request, *response); });
}
grpc::Status HostsService::GetServerInfo(grpc::ServerContext* context,
                                         const pb::GetServerInfoRequest* request,
                                         pb::GetServerInfoResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) -> absl::Status {
    response->set_version(about_.version);
    *response->mutable_start_time() = slipway::ToProto(about_.start_time);
    response->set_ssh_public_key(about_.ssh_public_key);
    const absl::Status leads = guard_.CheckLeads();
    response->set_leads(leads.ok());
    if (!leads.ok()) response->set_leader_address(DetailOf(leads).subject());
    SLIPWAY_ASSIGN_OR_RETURN(*response->mutable_authority_pem(), certificates_.AuthorityPem());
    const Time now = std::chrono::system_clock::now();
    for (pb::Finding& finding :
         CheckController(about_.state, about_.history_intact(), certificates_, fleet_, now)) {
      *response->add_findings() = std::move(finding);
    }
    *response->add_findings() = CheckBackup(about_.backup(), now);
    return absl::OkStatus();
  });
}

absl::Status HostsService::Add(const Caller& caller, const pb::AddHostRequest& request,
                               pb::AddHostResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string name, ParseHostName(request.host().name()));
  const HostConfig host{name,
                        request.host().address(),
                        {request.host().labels().begin(), request.host().labels().end()},
                        request.host().ssh_host_key(),
                        /*configured=*/false};
  SLIPWAY_ASSIGN_OR_RETURN(const bool changed, registry_.Add(host, caller.actor));
  response.set_changed(changed);
  reconciler_.Look();
  *response.mutable_host() = Describe(host);
  return absl::OkStatus();
}

absl::Status HostsService::Enrol(const grpc::ServerContextBase& context,
                                 const pb::EnrolHostRequest& request,
                                 pb::EnrolHostResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string host,
                           enrolments_.Redeem(request.secret(), context.peer()));
  SLIPWAY_ASSIGN_OR_RETURN(
      Certificates::Issued issued,
      certificates_.Issue(request.certificate_request(), {pb::ROLE_EXECUTOR, "", host},
                          Actor(HostName(host), context.peer())));
  response.set_certificate_pem(std::move(issued.pem));
  SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_authority_pem(), certificates_.AuthorityPem());
  return absl::OkStatus();
}

grpc::Status HostsService::AddHost(grpc::ServerContext* context, const pb::AddHostRequest* request,
                                   pb::AddHostResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Add(caller, *request, *response); });
}
grpc::Status HostsService::RemoveHost(grpc::ServerContext* context,
                                      const pb::RemoveHostRequest* request,
                                      pb::RemoveHostResponse*) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string host, ParseHostName(request->name()));
    return registry_.Remove(host, caller.actor);
  });
}
absl::Status HostsService::Cordon(const Caller& caller, const pb::CordonHostRequest& request,
                                  pb::CordonHostResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string host, ParseHostName(request.name()));
  SLIPWAY_RETURN_IF_ERROR(registry_.Cordon(host, request.reason(), caller.actor));
  // Admitted before the cordon was there.
  SLIPWAY_ASSIGN_OR_RETURN(auto unfinished, store_.ListRunning());
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  unfinished.insert(unfinished.end(), queued.begin(), queued.end());
  for (const auto& [app, id] : unfinished) {
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, id));
    const bool takes_part =
        std::any_of(record.rollouts.begin(), record.rollouts.end(),
                    [&host](const RolloutRecord& rollout) { return rollout.host == host; });
    if (takes_part) response.add_deployments(DeploymentName(app, id));
  }
  return absl::OkStatus();
}

grpc::Status HostsService::CordonHost(grpc::ServerContext* context,
                                      const pb::CordonHostRequest* request,
                                      pb::CordonHostResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Cordon(caller, *request, *response); });
}
grpc::Status HostsService::UncordonHost(grpc::ServerContext* context,
                                        const pb::UncordonHostRequest* request,
                                        pb::UncordonHostResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string host, ParseHostName(request->name()));
    SLIPWAY_ASSIGN_OR_RETURN(const bool changed, registry_.Uncordon(host, caller.actor));
    response->set_changed(changed);
    reconciler_.Look();
    return absl::OkStatus();
  });
}
grpc::Status HostsService::CreateEnrolment(grpc::ServerContext* context,
                                           const pb::CreateEnrolmentRequest* request,
                                           pb::CreateEnrolmentResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller& caller) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string host, ParseHostName(request->name()));
    SLIPWAY_ASSIGN_OR_RETURN(Enrolments::Invitation made, enrolments_.Create(host, caller.actor));
    response->set_secret(std::move(made.secret));
    *response->mutable_expire_time() = slipway::ToProto(made.expire_time);
    return absl::OkStatus();
  });
}
grpc::Status HostsService::EnrolHost(grpc::ServerContext* context,
                                     const pb::EnrolHostRequest* request,
                                     pb::EnrolHostResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) -> absl::Status {
    const absl::Status done = Enrol(*context, *request, *response);
    if (!done.ok()) guard_.Refused("enrolment", done);
    return done;
  });
}

}  // namespace slipway::controller
