// Ends what waits on Docker when the call that asked for it ends.
#pragma once

#include <chrono>
#include <thread>

#include "common/cancellation.h"
#include "executor/drivers/workload.h"

namespace slipway::executor {

// A Cancellation that fires with the call's own or at the deadline, whichever comes first; while it
// lives.
class CallStop {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit CallStop(const CallContext& call) : CallStop(call, call.deadline) {}
  CallStop(const CallContext& call, TimePoint deadline)
      : hook_(call.cancellation, [this] { stop_.Cancel(); }), timer_([this, deadline] {
          if (!stop_.WaitFor(deadline - std::chrono::steady_clock::now())) stop_.Cancel();
        }) {}
  ~CallStop() {
    stop_.Cancel();
    timer_.join();
  }
  CallStop(const CallStop&) = delete;
  CallStop& operator=(const CallStop&) = delete;

  Cancellation& cancellation() { return stop_; }

 private:
  Cancellation stop_;
  CancellationHook hook_;
  std::thread timer_;
};

}  // namespace slipway::executor
