#include "controller/rollout/event_hub.h"

#include <atomic>
#include <latch>

#include <gtest/gtest.h>

namespace slipway::controller {
namespace {

TEST(EventHub, CallsNobodyWhomAnEarlierCallbackHasUnsubscribed) {
  EventHub hub;
  std::atomic<int> called = 0;
  std::atomic<uint64_t> second = 0;
  std::latch subscribed(1);
  std::latch done(1);
  const uint64_t first = hub.Subscribe("gifty", "d", [&] {
    subscribed.wait();
    hub.Unsubscribe(second);
  });
  second = hub.Subscribe("gifty", "d", [&] { ++called; });
  const uint64_t third = hub.Subscribe("gifty", "d", [&] { done.count_down(); });
  hub.Publish("gifty", "d");
  subscribed.count_down();
  done.wait();
  EXPECT_EQ(called, 0);
  hub.Unsubscribe(first);
  hub.Unsubscribe(third);
}

TEST(EventHub, TellsThoseOfADeploymentAndNoOthers) {
  EventHub hub;
  std::atomic<int> others = 0;
  std::latch told(1);
  const uint64_t other = hub.Subscribe("gifty", "other", [&] { ++others; });
  const uint64_t one = hub.Subscribe("gifty", "d", [&] { told.count_down(); });
  hub.Publish("gifty", "d");
  told.wait();
  EXPECT_EQ(others, 0);
  hub.Unsubscribe(one);
  hub.Unsubscribe(other);
}

}  // namespace
}  // namespace slipway::controller
