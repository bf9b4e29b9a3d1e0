#include <cstdlib>

#include <gtest/gtest.h>

#include "clients/cli/application_file.h"
#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway::cli {
namespace {

constexpr char kSha[] = "3f2c1a000000000000000000000000000000aaaa";

class CommitTest : public ::testing::Test {
 protected:
  void SetUp() override { setenv("GITHUB_SHA", kSha, 1); }
  void TearDown() override {
    unsetenv("GITHUB_SHA");
    unsetenv("GITHUB_EVENT_PATH");
  }
  // What a workflow sees that was started by this event.
  Commit After(const std::string& event) {
    const auto file = folder_.path() / "event.json";
    EXPECT_TRUE(WriteFileAtomically(file, event).ok());
    setenv("GITHUB_EVENT_PATH", file.c_str(), 1);
    return ReadCommit(folder_.path());
  }

  slipway::testing::TemporaryFolder folder_;
};

TEST_F(CommitTest, TakesItsTimeFromThePush) {
  const Commit commit = After(std::string("{\"head_commit\": {\"id\": \"") + kSha +
                              "\", \"timestamp\": \"2026-11-24T09:30:00+01:00\"}}");
  EXPECT_EQ(commit.id, kSha);
  ASSERT_TRUE(commit.time.has_value());
  EXPECT_EQ(absl::FormatTime(*commit.time, absl::UTCTimeZone()), "2026-11-24T08:30:00+00:00");
}

TEST_F(CommitTest, HasNoTimeFromAnEventOfAnotherCommitOrNone) {
  for (const char* event :
       {"{\"head_commit\": {\"id\": \"other\", \"timestamp\": \"2026-11-24T09:30:00Z\"}}",
        "{\"head_commit\": null}", "{\"action\": \"opened\"}", "[]", "nonsense"}) {
    EXPECT_FALSE(After(event).time.has_value()) << event;
  }
  setenv("GITHUB_EVENT_PATH", "/nowhere", 1);
  EXPECT_FALSE(ReadCommit(folder_.path()).time.has_value());
}

}  // namespace
}  // namespace slipway::cli
