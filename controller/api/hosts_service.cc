#include "controller/api/hosts_service.h"

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/api/edge.h"

namespace slipway::controller {

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
    *response.add_hosts() = ToProto(host, fleet_.Observe(host.name));
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
                 "add it to the controller's configuration", request.name());
  }
  xpb::CheckRequest check;
  if (!request.application().empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string app, ParseApplicationName(request.application()));
    SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord record, store_.GetApplication(app));
    *check.mutable_spec() = record.spec;
  }
  const auto answer = client->Check(check);
  if (!answer.ok()) return Annotate(answer.status(), HostName(host));
  *response.mutable_findings() = answer->findings();
  return absl::OkStatus();
}

grpc::Status HostsService::ListHosts(grpc::ServerContext*, const pb::ListHostsRequest* request,
                                     pb::ListHostsResponse* response) {
  return ToGrpc(List(*request, *response));
}
grpc::Status HostsService::CheckHost(grpc::ServerContext*, const pb::CheckHostRequest* request,
                                     pb::CheckHostResponse* response) {
  return ToGrpc(Check(*request, *response));
}
grpc::Status HostsService::GetServerInfo(grpc::ServerContext*, const pb::GetServerInfoRequest*,
                                         pb::GetServerInfoResponse* response) {
  response->set_version(version_);
  *response->mutable_start_time() = slipway::ToProto(start_time_);
  return grpc::Status::OK;
}

}  // namespace slipway::controller
