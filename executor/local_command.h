// `slipway-executor status|rollback APP`: what a person on the host can do while the controller is
// down. Talks to the running executor through its socket.
#pragma once

#include <string>

namespace slipway::executor {

// Exit codes as slipway's own: 0 done, 1 failed, 7 the executor does not answer, 8 refused.
int ShowStatus(const std::string& socket, const std::string& app);
int RollBackHere(const std::string& socket, const std::string& app);

}  // namespace slipway::executor
