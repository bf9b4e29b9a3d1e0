// slipway.v1.HostService.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "controller/access/certificates.h"
#include "controller/access/enrolments.h"
#include "controller/access/guard.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/host_registry.h"
#include "controller/fleet/reconciler.h"
#include "controller/store/store.h"

#include "slipway/v1/hosts.grpc.pb.h"

namespace slipway::controller {

class HostsService : public pb::HostService::Service {
 public:
  struct About {
    std::string version;
    Time start_time;
    // As in an authorized_keys file.
    std::string ssh_public_key;
    std::filesystem::path state;
    std::function<bool()> history_intact;
    // When the newest backup was begun.
    std::function<std::optional<Time>()> backup;
  };
  HostsService(const Guard& guard, Store& store, Fleet& fleet, HostRegistry& registry,
               Reconciler& reconciler, Enrolments& enrolments, Certificates& certificates,
               About about)
      : guard_(guard),
        store_(store),
        fleet_(fleet),
        registry_(registry),
        reconciler_(reconciler),
        enrolments_(enrolments),
        certificates_(certificates),
        about_(std::move(about)) {}

  grpc::Status ListHosts(grpc::ServerContext* context, const pb::ListHostsRequest* request,
                         pb::ListHostsResponse* response) override;
  grpc::Status CheckHost(grpc::ServerContext* context, const pb::CheckHostRequest* request,
                         pb::CheckHostResponse* response) override;
  grpc::Status GetServerInfo(grpc::ServerContext* context, const pb::GetServerInfoRequest* request,
                             pb::GetServerInfoResponse* response) override;
  grpc::Status AddHost(grpc::ServerContext* context, const pb::AddHostRequest* request,
                       pb::AddHostResponse* response) override;
  grpc::Status RemoveHost(grpc::ServerContext* context, const pb::RemoveHostRequest* request,
                          pb::RemoveHostResponse* response) override;
  grpc::Status CordonHost(grpc::ServerContext* context, const pb::CordonHostRequest* request,
                          pb::CordonHostResponse* response) override;
  grpc::Status UncordonHost(grpc::ServerContext* context, const pb::UncordonHostRequest* request,
                            pb::UncordonHostResponse* response) override;
  grpc::Status CreateEnrolment(grpc::ServerContext* context,
                               const pb::CreateEnrolmentRequest* request,
                               pb::CreateEnrolmentResponse* response) override;
  grpc::Status EnrolHost(grpc::ServerContext* context, const pb::EnrolHostRequest* request,
                         pb::EnrolHostResponse* response) override;

 private:
  pb::Host Describe(const HostConfig& host);
  absl::Status Cordon(const Caller& caller, const pb::CordonHostRequest& request,
                      pb::CordonHostResponse& response);
  absl::Status List(const pb::ListHostsRequest& request, pb::ListHostsResponse& response);
  absl::Status Add(const Caller& caller, const pb::AddHostRequest& request,
                   pb::AddHostResponse& response);
  absl::Status Enrol(const grpc::ServerContextBase& context, const pb::EnrolHostRequest& request,
                     pb::EnrolHostResponse& response);
  absl::Status Check(const pb::CheckHostRequest& request, pb::CheckHostResponse& response);

  const Guard& guard_;
  Store& store_;
  Fleet& fleet_;
  HostRegistry& registry_;
  Reconciler& reconciler_;
  Enrolments& enrolments_;
  Certificates& certificates_;
  const About about_;
};

}  // namespace slipway::controller
