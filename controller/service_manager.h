// What the controller tells who started it. systemd's units of Type=notify count as started when the program says so, and not
// before: what is ordered after the controller finds its socket.
#pragma once

#include "absl/status/status.h"

namespace slipway::controller {

// Says that the controller serves, to the socket that NOTIFY_SOCKET names; nothing where it names none.
// UNAVAILABLE when nobody takes it.
absl::Status TellServiceManagerReady();

}  // namespace slipway::controller
