// Is a port of this host free to listen on?
#pragma once

#include <cstdint>
#include <string>

namespace slipway::executor {

// Tries to bind it, which is the only answer that counts; nothing stays bound.
bool PortIsFree(const std::string& address, uint32_t port);

}  // namespace slipway::executor
