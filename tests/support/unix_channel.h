// A channel to a daemon's socket.
#pragma once

#include <filesystem>
#include <memory>

#include "clients/transport/dial.h"

namespace slipway::testing {

inline std::shared_ptr<grpc::Channel> UnixChannel(const std::filesystem::path& socket) {
  return Dialer().Dial({Scheme::kUnix, "", "", 0, socket.string()}, {}).value()->channel();
}

}  // namespace slipway::testing
