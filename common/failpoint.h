// Named points at which a test kills or delays a daemon. Compiled out unless SLIPWAY_FAILPOINTS is
// defined.
//
// SLIPWAY_FAILPOINT("switch.after_write") does nothing until the environment has
// SLIPWAY_FAILPOINT=NAME[:N], which kills the process with SIGKILL when the point is reached the
// Nth time (default the first), after a note in the file that SLIPWAY_FAILPOINT_LOG names.
// SLIPWAY_FAILPOINT_LOG alone records every point reached.
#pragma once

#include <string>

#ifdef SLIPWAY_FAILPOINTS
#include <string>

namespace slipway {
void ReachFailpoint(const std::string& name);
}  // namespace slipway
#define SLIPWAY_FAILPOINT(name) ::slipway::ReachFailpoint(name)
#else
#define SLIPWAY_FAILPOINT(name) \
  do {                          \
  } while (false)
#endif
