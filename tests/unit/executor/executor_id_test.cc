#include "executor/executor_id.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class ExecutorId : public ::testing::Test {
 protected:
  ExecutorId() { Write("machine-id", "0123456789abcdef\n"); }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / name, text).ok());
  }
  absl::StatusOr<std::string> Of(const std::string& state) {
    std::filesystem::create_directories(folder_.path() / state);
    return ReadOrMakeExecutorId(Paths(folder_.path() / state), folder_.path() / "machine-id");
  }

  const slipway::testing::TemporaryFolder folder_;
};

TEST_F(ExecutorId, IsTheSameAfterTheStateWasLostAndAfterItWasMoved) {
  const std::string id = *Of("state");
  EXPECT_THAT(id, MatchesRegex("[0-9a-f]{16}"));
  std::filesystem::remove_all(folder_.path() / "state");
  EXPECT_EQ(*Of("state"), id);
  std::filesystem::rename(folder_.path() / "state", folder_.path() / "moved");
  EXPECT_EQ(*Of("moved"), id);
}

TEST_F(ExecutorId, DiffersBetweenStateFoldersAndBetweenMachines) {
  const std::string id = *Of("state");
  EXPECT_NE(*Of("other"), id);
  std::filesystem::remove_all(folder_.path() / "state");
  Write("machine-id", "fedcba9876543210\n");
  EXPECT_NE(*Of("state"), id);
}

TEST_F(ExecutorId, IsRandomWhereTheMachineHasNone) {
  Write("machine-id", "");
  const std::string id = *Of("state");
  std::filesystem::remove_all(folder_.path() / "state");
  EXPECT_NE(*Of("state"), id);
}

TEST_F(ExecutorId, IsWhatSomebodyWroteUnlessThatIsNone) {
  std::filesystem::create_directories(folder_.path() / "state");
  Write("state/executor-id", "abc123\n");
  EXPECT_EQ(*Of("state"), "abc123");
  Write("state/executor-id", "a b\n");
  const absl::Status refused = Of("state").status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("does not hold an executor's id"));
  EXPECT_THAT(DetailOf(refused).cure(), HasSubstr("remove the file"));
}

}  // namespace
}  // namespace slipway::executor
