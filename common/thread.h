// Starts threads where running out of them is an error to handle. std::thread throws in that case, which would end the process
// when it happens outside of a call of gRPC's.
#pragma once

#include <functional>
#include <thread>

#include "absl/status/statusor.h"

namespace slipway {

// RESOURCE_EXHAUSTED (reason NO_THREADS) when the system allows no further thread: a limit of the cgroup, the user or the address
// space. `work` must not throw.
absl::StatusOr<std::thread> StartThread(std::function<void()> work);

}  // namespace slipway
