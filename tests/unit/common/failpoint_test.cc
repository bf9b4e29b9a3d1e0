#include "common/failpoint.h"

#include <csignal>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

#ifdef SLIPWAY_FAILPOINTS

// Each of these runs in a child process of its own: the count of points reached is the process's.
void Reach(const char* chosen, const std::string& log, int times) {
  setenv("SLIPWAY_FAILPOINT", chosen, 1);
  if (!log.empty()) setenv("SLIPWAY_FAILPOINT_LOG", log.c_str(), 1);
  for (int i = 0; i < times; ++i) {
    SLIPWAY_FAILPOINT("other.point");
    SLIPWAY_FAILPOINT("switch.after_write");
  }
  std::_Exit(0);
}

const auto kKilled = ::testing::KilledBySignal(SIGKILL);
const auto kUnharmed = ::testing::ExitedWithCode(0);

TEST(Failpoint, KillsWhereItsNameIsReached) {
  EXPECT_EXIT(Reach("switch.after_write", "", 1), kKilled, "");
}

TEST(Failpoint, OfAnotherNameDoesNothing) {
  EXPECT_EXIT(Reach("", "", 3), kUnharmed, "");
  EXPECT_EXIT(Reach("switch.after", "", 3), kUnharmed, "");
  EXPECT_EXIT(Reach("switch.after_write.more", "", 3), kUnharmed, "");
}

TEST(Failpoint, WithANumberKillsTheNthTimeOnly) {
  testing::TemporaryFolder folder;
  const std::string log = (folder.path() / "log").string();
  EXPECT_EXIT(Reach("switch.after_write:3", log, 5), kKilled, "");
  EXPECT_EQ(*ReadFile(log),
            "other.point\nswitch.after_write\nother.point\nswitch.after_write\n"
            "other.point\nswitch.after_write\n");
  EXPECT_EXIT(Reach("switch.after_write:3", "", 2), kUnharmed, "");
}

TEST(Failpoint, WithANumberThatIsNoneKillsTheFirstTime) {
  EXPECT_EXIT(Reach("switch.after_write:x", "", 1), kKilled, "");
}

TEST(Failpoint, IsNotedBeforeItKills) {
  testing::TemporaryFolder folder;
  const std::string log = (folder.path() / "log").string();
  EXPECT_EXIT(Reach("other.point", log, 1), kKilled, "");
  EXPECT_EQ(*ReadFile(log), "other.point\n");
}

#else

TEST(Failpoint, IsCompiledOut) {
  setenv("SLIPWAY_FAILPOINT", "switch.after_write", 1);
  SLIPWAY_FAILPOINT("switch.after_write");
  SUCCEED();
}

#endif

}  // namespace
}  // namespace slipway
