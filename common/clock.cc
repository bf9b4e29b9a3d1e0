#include "common/clock.h"

#include <thread>

namespace slipway {
namespace {

class MachineClock final : public Clock {
 public:
  Monotonic Now() override { return std::chrono::steady_clock::now(); }
  Wall WallNow() override { return std::chrono::system_clock::now(); }
  void SleepFor(std::chrono::nanoseconds time) override { std::this_thread::sleep_for(time); }
};

}  // namespace

bool Clock::WaitFor(std::chrono::nanoseconds time, Cancellation* cancellation) {
  if (cancellation != nullptr) return cancellation->WaitFor(time);
  SleepFor(time);
  return false;
}

Clock& SystemClock() {
  static auto* const clock = new MachineClock;
  return *clock;
}

}  // namespace slipway
