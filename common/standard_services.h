// The services that every gRPC tool expects of a server: health and reflection. gRPC's own take a thread for each reflection stream,
// also of a peer that has shown no identity; these take none, and reflection asks who the peer is first.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server_context.h>

namespace slipway {

// Whether the peer may make this call, by the request's type.
using AdmitCall =
    std::function<absl::Status(const grpc::ServerContextBase&, const google::protobuf::Message&)>;

// grpc.health.v1.Health: SERVING for the listener ("") and each of `services`. Check() needs no identity; there is no Watch().
std::unique_ptr<grpc::Service> HealthService(std::vector<std::string> services);

// grpc.reflection.v1alpha.ServerReflection over what is linked into this program. A peer that `admit` refuses gets its status at
// once.
std::unique_ptr<grpc::Service> ReflectionService(std::vector<std::string> services,
                                                 AdmitCall admit);

}  // namespace slipway
