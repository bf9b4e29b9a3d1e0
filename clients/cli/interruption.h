// Ctrl-C, and SIGTERM as a pipeline's runner sends it, while a deployment begins and runs.
//
// What happens on the hosts does not hang on this program, so it leaves at once. Only in the moment in which a deployment is made it
// does not: one that the controller has begun, and that nobody was told the name of, could not be cancelled by who began it.
#pragma once

namespace slipway::cli {

// From here on a signal is remembered. A second one leaves nevertheless.
void HoldInterruptions();
// From here on a signal leaves with exit code 1, and so does one that was remembered.
void ObeyInterruptions();

}  // namespace slipway::cli
