// Ctrl-C and SIGTERM, as people and runners of pipelines send them, while a deployment begins and runs.
//
// What happens on the hosts does not hang on this program, so it leaves at once, or asks for the deployment to be cancelled and stays to
// see how that ends. Only in the moment in which a deployment is made it does neither: one that the controller has begun, and that nobody
// was told the name of, could not be cancelled by who began it.
#pragma once

#include <functional>
#include <thread>

namespace slipway::cli {

// From here on a signal is remembered. A second one leaves nevertheless.
void HoldInterruptions();
// From here on a signal leaves with exit code 1, and so does one that was remembered.
void ObeyInterruptions();

// While it lives, the first signal, remembered or new, calls `act` once, on a thread of its own; a second one leaves.
class InterruptionHandler {
 public:
  explicit InterruptionHandler(std::function<void()> act);
  // Waits for an `act` that runs. From then on a signal leaves.
  ~InterruptionHandler();
  InterruptionHandler(const InterruptionHandler&) = delete;
  InterruptionHandler& operator=(const InterruptionHandler&) = delete;

 private:
  std::thread thread_;
};

}  // namespace slipway::cli
