// What the handlers share: who asks, request ids, pages, and the resources' wire form.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

#include "slipway/v1/hosts.pb.h"
#include "slipway/v1/releases.pb.h"

namespace slipway::controller {

// The user that the client names (metadata `x-slipway-actor`), made harmless for logs; `unknown` without one. Whoever may
// open the socket is trusted to tell the truth.
std::string ActorOf(const grpc::ServerContextBase& context);

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
