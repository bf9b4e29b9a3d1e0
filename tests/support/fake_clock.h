// A clock whose sleeps pass at once.
#pragma once

#include "common/clock.h"

namespace slipway::testing {

class FakeClock final : public Clock {
 public:
  Monotonic Now() override { return now_; }
  Wall WallNow() override {
    return Wall(std::chrono::duration_cast<Wall::duration>(now_.time_since_epoch()));
  }
  void SleepFor(std::chrono::nanoseconds time) override { now_ += time; }

 private:
  Monotonic now_{std::chrono::hours(1)};
};

}  // namespace slipway::testing
