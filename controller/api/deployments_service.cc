#include "controller/api/deployments_service.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/grpc_status.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/api/edge.h"
#include "controller/api/watch.h"

namespace slipway::controller {
namespace {

// `release` may be empty for a rollback.
absl::StatusOr<std::string> ReleaseIn(const std::string& app, const std::string& name) {
  if (name.empty()) return "";
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRef ref, ParseReleaseName(name));
  if (ref.app == app) return ref.release;
  return Error(absl::StatusCode::kInvalidArgument, "OTHER_APPLICATION",
               absl::StrCat(name, " is a release of another application"));
}

bool ServesEverywhere(const pb::Plan& plan) {
  const auto planned = ParseReleaseName(plan.release());
  return planned.ok() &&
         std::all_of(plan.hosts().begin(), plan.hosts().end(), [&](const pb::HostPlan& host) {
           return host.serving_release() == planned->release;
         });
}

}  // namespace

absl::Status DeploymentsService::PlanDraft(const std::string& app,
                                           const pb::CreateDeploymentRequest& request,
                                           pb::CreateDeploymentResponse& response) {
  const pb::ReleaseDraft& draft = request.draft();
  const bool other_app = !draft.spec().app().empty() && draft.spec().app() != app;
  if (!request.validate_only() || !request.release().empty() || other_app) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_DRAFT",
                 "draft: is for validate_only, in place of a release, and of the same application",
                 "make a release of it with CreateRelease, and deploy that");
  }
  SLIPWAY_ASSIGN_OR_RETURN(
      *response.mutable_plan(),
      preview_.Of({app, draft.manifest_digest(), draft.commit(), std::nullopt, ""}, draft.spec(),
                  fleet_.Labels(), request.skip_offline()));
  return absl::OkStatus();
}

// The checks that the stored policy asks for must have passed on the release's commit.
absl::Status DeploymentsService::CheckChecks(const Wish& wish, const Caller& caller) {
  if (caller.override_policy) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord application, store_.GetApplication(wish.app));
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, store_.GetRelease(wish.app, wish.release));
  return checks_.RequirePassed(application.spec.policy(), wish.app, release.commit);
}

absl::Status DeploymentsService::Create(const Caller& caller,
                                        const pb::CreateDeploymentRequest& request,
                                        pb::CreateDeploymentResponse& response) {
  Wish wish;
  SLIPWAY_ASSIGN_OR_RETURN(wish.app, ParseApplicationName(request.parent()));
  if (request.has_draft()) {
    SLIPWAY_RETURN_IF_ERROR(PlanDraft(wish.app, request, response));
    response.set_up_to_date(ServesEverywhere(response.plan()));
    return absl::OkStatus();
  }
  SLIPWAY_ASSIGN_OR_RETURN(wish.release, ReleaseIn(wish.app, request.release()));
  if (wish.release.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "NO_RELEASE", "release: is empty");
  }
  for (const std::string& service : request.update_services()) {
    if (!IsServiceName(service)) {
      return Error(absl::StatusCode::kInvalidArgument, "INVALID_SERVICE",
                   absl::StrCat("update_services: '", service, "' is no service name"));
    }
    wish.update_services.push_back(service);
  }
  wish.force = request.force() || !wish.update_services.empty();
  wish.hold_before_flip = request.hold_before_flip();
  wish.skip_offline = request.skip_offline();
  wish.detached = request.detached();
  wish.actor = caller.actor;
  if (request.validate_only()) {
    SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_plan(), preview_.Of(wish));
    response.set_up_to_date(ServesEverywhere(response.plan()));
    return absl::OkStatus();
  }
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, wish.app, caller));
  SLIPWAY_RETURN_IF_ERROR(CheckChecks(wish, caller));
  SLIPWAY_ASSIGN_OR_RETURN(const Admitted admitted,
                           admission_.Admit(wish, RequestOf(request, request.request_id())));
  response.set_up_to_date(!admitted.deployment.has_value());
  if (admitted.deployment) *response.mutable_deployment() = ToProto(*admitted.deployment);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Rollback(const Caller& caller,
                                          const pb::RollbackApplicationRequest& request,
                                          pb::RollbackApplicationResponse& response) {
  Wish wish;
  wish.kind = pb::DEPLOYMENT_KIND_ROLLBACK;
  wish.actor = caller.actor;
  // Asked to go back to what serves already, it is done again rather than nothing said.
  wish.force = true;
  wish.skip_offline = request.skip_offline();
  wish.detached = request.detached();
  SLIPWAY_ASSIGN_OR_RETURN(wish.app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(wish.release, ReleaseIn(wish.app, request.release()));
  if (request.validate_only()) {
    SLIPWAY_ASSIGN_OR_RETURN(*response.mutable_plan(), preview_.Of(wish));
    return absl::OkStatus();
  }
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, wish.app, caller));
  SLIPWAY_ASSIGN_OR_RETURN(const Admitted admitted,
                           admission_.Admit(wish, RequestOf(request, request.request_id())));
  if (admitted.deployment) *response.mutable_deployment() = ToProto(*admitted.deployment);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Reconcile(const Caller& caller,
                                           const pb::ReconcileApplicationRequest& request,
                                           pb::ReconcileApplicationResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_RETURN_IF_ERROR(MayChange(store_, app, caller));
  SLIPWAY_ASSIGN_OR_RETURN(
      const auto begun,
      reconciler_.Reconcile(app, {request.hosts().begin(), request.hosts().end()},
                            RequestOf(request, request.request_id()), caller.actor));
  if (begun) *response.mutable_deployment() = ToProto(*begun);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Get(const pb::GetDeploymentRequest& request,
                                     pb::GetDeploymentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRef ref, ParseDeploymentName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record,
                           store_.GetDeployment(ref.app, ref.deployment));
  *response.mutable_deployment() = ToProto(record);
  return absl::OkStatus();
}

absl::Status DeploymentsService::List(const pb::ListDeploymentsRequest& request,
                                      pb::ListDeploymentsResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.parent()));
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  SLIPWAY_RETURN_IF_ERROR(store_.GetApplication(app).status());
  SLIPWAY_ASSIGN_OR_RETURN(const auto records,
                           store_.ListDeployments(app, request.page_token(), size));
  for (const DeploymentRecord& record : records) *response.add_deployments() = ToProto(record);
  if (static_cast<int>(records.size()) == size) response.set_next_page_token(records.back().id);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Cancel(const Caller& caller,
                                        const pb::CancelDeploymentRequest& request,
                                        pb::CancelDeploymentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRef ref, ParseDeploymentName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(
      const DeploymentRecord record,
      admission_.Cancel(ref.app, ref.deployment, RequestOf(request, request.request_id()),
                        caller.actor));
  *response.mutable_deployment() = ToProto(record);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Resume(const Caller& caller,
                                        const pb::ResumeDeploymentRequest& request,
                                        pb::ResumeDeploymentResponse& response) {
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRef ref, ParseDeploymentName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(
      const DeploymentRecord record,
      admission_.Resume(ref.app, ref.deployment, RequestOf(request, request.request_id()),
                        caller.actor));
  *response.mutable_deployment() = ToProto(record);
  return absl::OkStatus();
}

absl::Status DeploymentsService::Logs(grpc::ServerContext& context,
                                      const pb::StreamLogsRequest& request,
                                      grpc::ServerWriter<pb::StreamLogsResponse>& writer) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.name()));
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
  std::string host = request.host();
  if (host.empty() && record.spec.hosts_size() > 0) host = record.spec.hosts(0);
  const auto client = fleet_.Client(host);
  if (client == nullptr) {
    return Error(absl::StatusCode::kNotFound, "UNKNOWN_HOST",
                 absl::StrCat("the controller knows no host '", host, "'"));
  }
  xpb::StreamLogsRequest relayed;
  relayed.set_app(app);
  relayed.set_service(request.service());
  relayed.set_follow(request.follow());
  relayed.set_tail(request.tail() <= 0 ? 100 : request.tail());
  const absl::Status ended = client->StreamLogs(relayed, [&](const xpb::StreamLogsResponse& line) {
    pb::StreamLogsResponse response;
    response.set_host(host);
    response.set_service(line.service());
    response.set_line(line.line());
    return !context.IsCancelled() && writer.Write(response);
  });
  // UNAVAILABLE would say that this controller is.
  if (!absl::IsUnavailable(ended) && !absl::IsDeadlineExceeded(ended)) return ended;
  return Error(absl::StatusCode::kFailedPrecondition, "HOST_UNREACHABLE",
               absl::StrCat("host ", host, " does not answer: ", ended.message()),
               absl::StrCat("`slipway hosts check ", host, "` says what is in the way"),
               HostName(host));
}

absl::Status DeploymentsService::History(const pb::ListHistoryRequest& request,
                                         pb::ListHistoryResponse& response) {
  std::string app;
  if (!request.parent().empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(app, ParseApplicationName(request.parent()));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  uint64_t before = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &before)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_PAGE_TOKEN",
                 "page_token: not one of ours");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto rows, store_.ListHistory(app, before, size));
  for (const HistoryRecord& row : rows) *response.add_entries() = ToProto(row);
  if (static_cast<int>(rows.size()) == size) {
    response.set_next_page_token(absl::StrCat(rows.back().sequence));
  }
  return absl::OkStatus();
}

grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* DeploymentsService::WatchDeployment(
    grpc::CallbackServerContext* context, const pb::WatchDeploymentRequest* request) {
  const auto caller = guard_.Admit(*context, *request);
  if (!caller.ok()) return RefuseWatch(caller.status());
  // Who leads alone knows who attends.
  if (const absl::Status leads = guard_.CheckLeads(); request->attend() && !leads.ok()) {
    return RefuseWatch(leads);
  }
  // To attend is to keep alive what others may not touch.
  if (request->attend() && caller->identity.role() == pb::ROLE_VIEWER) {
    pb::WatchDeploymentRequest plain = *request;
    plain.set_attend(false);
    return StartWatch(store_, hub_, attendance_, plain);
  }
  return StartWatch(store_, hub_, attendance_, *request);
}

grpc::Status DeploymentsService::CreateDeployment(grpc::ServerContext* context,
                                                  const pb::CreateDeploymentRequest* request,
                                                  pb::CreateDeploymentResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Create(caller, *request, *response); });
}
grpc::Status DeploymentsService::RollbackApplication(grpc::ServerContext* context,
                                                     const pb::RollbackApplicationRequest* request,
                                                     pb::RollbackApplicationResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Rollback(caller, *request, *response); });
}
grpc::Status DeploymentsService::ReconcileApplication(
    grpc::ServerContext* context, const pb::ReconcileApplicationRequest* request,
    pb::ReconcileApplicationResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Reconcile(caller, *request, *response); });
}
grpc::Status DeploymentsService::GetDeployment(grpc::ServerContext* context,
                                               const pb::GetDeploymentRequest* request,
                                               pb::GetDeploymentResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) { return Get(*request, *response); });
}
grpc::Status DeploymentsService::ListDeployments(grpc::ServerContext* context,
                                                 const pb::ListDeploymentsRequest* request,
                                                 pb::ListDeploymentsResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return List(*request, *response); });
}
grpc::Status DeploymentsService::CancelDeployment(grpc::ServerContext* context,
                                                  const pb::CancelDeploymentRequest* request,
                                                  pb::CancelDeploymentResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Cancel(caller, *request, *response); });
}
grpc::Status DeploymentsService::ResumeDeployment(grpc::ServerContext* context,
                                                  const pb::ResumeDeploymentRequest* request,
                                                  pb::ResumeDeploymentResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller& caller) { return Resume(caller, *request, *response); });
}
grpc::Status DeploymentsService::StreamLogs(grpc::ServerContext* context,
                                            const pb::StreamLogsRequest* request,
                                            grpc::ServerWriter<pb::StreamLogsResponse>* writer) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return Logs(*context, *request, *writer); });
}
grpc::Status DeploymentsService::VerifyHistory(grpc::ServerContext* context,
                                               const pb::VerifyHistoryRequest* request,
                                               pb::VerifyHistoryResponse* response) {
  return Serve(guard_, *context, *request, [&](const Caller&) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(*response, audit_.Verify());
    return absl::OkStatus();
  });
}
grpc::Status DeploymentsService::ListHistory(grpc::ServerContext* context,
                                             const pb::ListHistoryRequest* request,
                                             pb::ListHistoryResponse* response) {
  return Serve(guard_, *context, *request,
               [&](const Caller&) { return History(*request, *response); });
}

}  // namespace slipway::controller
