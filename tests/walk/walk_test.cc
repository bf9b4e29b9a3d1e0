// Walks for SLIPWAY_WALK_SECONDS (10), from SLIPWAY_WALK_SEED (1) upwards; a failure prints the
// seed that replays it.
#include "tests/walk/walk.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

namespace slipway::testing {
namespace {

constexpr int kStepsOfAHistory = 100;
constexpr uint64_t kTold = 5000;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Walk, LeavesTheHostInOrderAfterEveryStep) {
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(FromEnvironment("SLIPWAY_WALK_SECONDS", 10));
  uint64_t seed = FromEnvironment("SLIPWAY_WALK_SEED", 1);
  uint64_t steps = 0;
  for (; std::chrono::steady_clock::now() < end; ++seed) {
    // One host, two or three.
    Walk walk(seed, 1 + static_cast<int>(seed % 3));
    for (int i = 0; i < kStepsOfAHistory; ++i, ++steps) {
      ASSERT_TRUE(walk.Step()) << "SLIPWAY_WALK_SEED=" << seed << ", step " << i << "\n"
                               << walk.Report();
    }
    if (steps % kTold != 0) continue;
    std::printf("%lu steps so far\n", static_cast<unsigned long>(steps));
    std::fflush(stdout);
  }
  std::printf("%lu steps walked, no violation; the next seed is %lu\n",
              static_cast<unsigned long>(steps), static_cast<unsigned long>(seed));
}

}  // namespace
}  // namespace slipway::testing
