// Sees every call of a gRPC server begin and end. Apart from metrics.h, so that only one file needs both libraries' headers.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace grpc {
class ServerBuilder;
}

namespace slipway::controller {

// `time` is nothing for streams.
using CallObserver = std::function<void(const std::string& method, int code,
                                        std::optional<std::chrono::nanoseconds> time)>;

void AddMetricsInterceptor(grpc::ServerBuilder& builder, CallObserver observer);

}  // namespace slipway::controller
