#include "controller/rollout/crew.h"

#include <atomic>
#include <latch>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/no_more_threads.h"

namespace slipway::controller {
namespace {

TEST(Crew, RunsAllThatIsSubmittedAtTheSameTime) {
  constexpr int kWorks = 50;
  std::latch together(kWorks);
  Crew crew;
  for (int i = 0; i < kWorks; ++i) crew.Submit([&] { together.arrive_and_wait(); });
  together.wait();
}

TEST(Crew, UsesAThreadAgainThatHasNothingToDo) {
  Mutex mutex;
  std::set<std::thread::id> threads;
  {
    Crew crew;
    for (int i = 0; i < 100; ++i) {
      std::latch done(1);
      crew.Submit([&] {
        {
          MutexLock lock(mutex);
          threads.insert(std::this_thread::get_id());
        }
        done.count_down();
      });
      done.wait();
    }
  }
  // One that has just said that it is done may not be waiting yet.
  EXPECT_LT(threads.size(), 50u);
}

TEST(Crew, FinishesWhatWasSubmittedBeforeItEnds) {
  std::atomic<int> done = 0;
  {
    Crew crew;
    for (int i = 0; i < 20; ++i) crew.Submit([&] { ++done; });
  }
  EXPECT_EQ(done, 20);
}

TEST(Crew, DoesOneAfterAnotherWhenThereAreNoMoreThreads) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  std::atomic<int> done = 0;
  {
    Crew crew;
    ASSERT_TRUE(crew.Reserve().ok());
    const slipway::testing::NoMoreThreads full;
    for (int i = 0; i < 20; ++i) crew.Submit([&] { ++done; });
  }
  EXPECT_EQ(done, 20);
}

TEST(Crew, SaysWhenItCannotHaveItsFirstThread) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  Crew crew;
  const slipway::testing::NoMoreThreads full;
  EXPECT_TRUE(absl::IsResourceExhausted(crew.Reserve()));
}

TEST(InParallel, DoesItAllOnTheCallersThreadWhenThereAreNoMore) {
  if (!slipway::testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "under a sanitizer";
  const slipway::testing::NoMoreThreads full;
  int calls = 0;
  InParallel(100, 8, [&](size_t) { ++calls; });
  EXPECT_EQ(calls, 100);
}

TEST(InParallel, CallsItForEachOnceAndNotMoreThanTheWidthAtATime) {
  std::vector<std::atomic<int>> calls(500);
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  InParallel(calls.size(), 8, [&](size_t i) {
    const int here = ++now;
    int seen = most;
    while (seen < here && !most.compare_exchange_weak(seen, here)) {
    }
    ++calls[i];
    --now;
  });
  for (const auto& count : calls) EXPECT_EQ(count, 1);
  EXPECT_LE(most, 8);
  InParallel(0, 8, [](size_t) { FAIL(); });
}

}  // namespace
}  // namespace slipway::controller
