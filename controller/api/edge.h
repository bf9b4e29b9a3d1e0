// What the handlers share: who asks, request ids, pages, and the resources' wire form.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include "common/grpc_status.h"
#include "controller/access/guard.h"
#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/v1/hosts.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway::controller {

// Lets the guard decide, then runs the handler with the caller that it found.
template <typename Handler>
grpc::Status Serve(const Guard& guard, const grpc::ServerContextBase& context,
                   const google::protobuf::Message& request, const Handler& handler) {
  const absl::StatusOr<Caller> caller = guard.Admit(context, request);
  return ToGrpc(caller.ok() ? absl::Status(handler(*caller)) : caller.status());
}

// May this caller change this application? By the ref policy that is stored; OK for one that is not known yet.
absl::Status MayChange(Store& store, const std::string& app, const Caller& caller);

// The request id with a hash over the method and everything else in the message.
Request RequestOf(const google::protobuf::Message& message, const std::string& id);

// 50 by default, at most 1000. INVALID_ARGUMENT when negative.
absl::StatusOr<int> PageSize(int asked);

pb::Application ToProto(const ApplicationRecord& record);
pb::Release ToProto(const ReleaseRecord& record);
// With steps only when the record has them.
pb::Deployment ToProto(const DeploymentRecord& record);
pb::HistoryEntry ToProto(const HistoryRecord& record);
pb::Host ToProto(const HostConfig& config, const HostObservation& seen);
pb::HostStatus StatusOf(const std::string& host, const std::string& app,
                        const HostObservation& seen);

}  // namespace slipway::controller
