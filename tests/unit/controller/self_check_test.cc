#include "controller/api/self_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(SelfCheck, SaysHowFarAHostsClockIsOff) {
  const Time before{seconds(1'000'000)};
  const Time after = before + milliseconds(300);
  for (const auto off : {milliseconds(0), milliseconds(300), milliseconds(4000)}) {
    EXPECT_EQ(CheckClock(before, before + off, after).level(), pb::FINDING_LEVEL_OK);
  }
  const pb::Finding ahead = CheckClock(before, after + seconds(20), after);
  EXPECT_EQ(ahead.level(), pb::FINDING_LEVEL_WARNING);
  EXPECT_THAT(ahead.text(), HasSubstr("20.0s ahead of"));
  const pb::Finding behind = CheckClock(before, before - seconds(3600), after);
  EXPECT_EQ(behind.level(), pb::FINDING_LEVEL_PROBLEM);
  EXPECT_THAT(behind.text(), HasSubstr("1h0m behind"));
  EXPECT_THAT(behind.cure(), HasSubstr("timedatectl"));
}

TEST(SelfCheck, WarnsOfAnOldBackupAndOfNone) {
  const Time now{seconds(10'000'000)};
  EXPECT_EQ(CheckBackup(now - std::chrono::hours(26), now).level(), pb::FINDING_LEVEL_OK);
  const pb::Finding old = CheckBackup(now - std::chrono::hours(49), now);
  EXPECT_EQ(old.level(), pb::FINDING_LEVEL_WARNING);
  EXPECT_THAT(old.text(), HasSubstr("49h"));
  const pb::Finding none = CheckBackup(std::nullopt, now);
  EXPECT_EQ(none.level(), pb::FINDING_LEVEL_WARNING);
  EXPECT_THAT(none.cure(), HasSubstr("slipway-controller backup"));
}

}  // namespace
}  // namespace slipway::controller
