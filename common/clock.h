// The Clock seam. Wall time is for people and names; every deadline is judged on the monotonic clock.
#pragma once

#include <chrono>

#include "common/cancellation.h"

namespace slipway {

class Clock {
 public:
  using Monotonic = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  virtual ~Clock() = default;
  virtual Monotonic Now() = 0;
  virtual Wall WallNow() = 0;
  // Blocks for the time, which a test's clock lets pass at once.
  virtual void SleepFor(std::chrono::nanoseconds time) = 0;
  // Blocks for the time or until cancelled; true when cancelled. `cancellation` may be null.
  virtual bool WaitFor(std::chrono::nanoseconds time, Cancellation* cancellation);
};

// The machine's own; never destroyed, safe from any thread.
Clock& SystemClock();

}  // namespace slipway
