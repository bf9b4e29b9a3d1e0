// slipway.v1.HostService.
#pragma once

#include <string>

#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/v1/hosts.grpc.pb.h"

namespace slipway::controller {

class HostsService : public pb::HostService::Service {
 public:
  HostsService(Store& store, Fleet& fleet, std::string version, Time start_time)
      : store_(store), fleet_(fleet), version_(std::move(version)), start_time_(start_time) {}

  grpc::Status ListHosts(grpc::ServerContext* context, const pb::ListHostsRequest* request,
                         pb::ListHostsResponse* response) override;
  grpc::Status CheckHost(grpc::ServerContext* context, const pb::CheckHostRequest* request,
                         pb::CheckHostResponse* response) override;
  grpc::Status GetServerInfo(grpc::ServerContext* context, const pb::GetServerInfoRequest* request,
                             pb::GetServerInfoResponse* response) override;

 private:
  absl::Status List(const pb::ListHostsRequest& request, pb::ListHostsResponse& response);
  absl::Status Check(const pb::CheckHostRequest& request, pb::CheckHostResponse& response);

  Store& store_;
  Fleet& fleet_;
  const std::string version_;
  const Time start_time_;
};

}  // namespace slipway::controller
