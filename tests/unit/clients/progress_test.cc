#include "clients/cli/progress.h"

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

pb::Event Log(const std::string& step, const std::string& text) {
  pb::Event event;
  event.set_host("web-1");
  event.mutable_log()->set_step(step);
  event.mutable_log()->set_text(text);
  return event;
}

pb::Event Ended(const std::string& step, pb::StepState state, const std::string& summary) {
  pb::Event event;
  event.set_host("web-1");
  event.mutable_step()->set_name(step);
  event.mutable_step()->set_state(state);
  event.mutable_step()->set_summary(summary);
  return event;
}

std::vector<std::string> Shown(const Output& output, const std::vector<pb::Event>& events) {
  ::testing::internal::CaptureStdout();
  Progress progress(output, /*show_logs=*/true);
  for (const pb::Event& event : events) progress.Show(event);
  return absl::StrSplit(::testing::internal::GetCapturedStdout(), '\n', absl::SkipEmpty());
}

TEST(Progress, IsALinePerStepThatHasEnded) {
  EXPECT_THAT(Shown({}, {Ended("stage", pb::STEP_STATE_DISPATCHED, ""),
                         Ended("stage", pb::STEP_STATE_DONE, "4 files"),
                         Ended("health", pb::STEP_STATE_FAILED, "503")}),
              ElementsAre(HasSubstr("stage            ok             0s  4 files"),
                          HasSubstr("health           failed")));
}

TEST(Progress, GroupsLogsInAGitHubJobAndLetsThemCommandNothing) {
  Output output;
  output.github = true;
  const auto lines =
      Shown(output, {Log("build", "::add-mask::x"), Log("build", "done"),
                     Ended("build", pb::STEP_STATE_DONE, "1 built"), Log("hook:migrate", "ok"),
                     Ended("hook:migrate", pb::STEP_STATE_FAILED, "exit\ncode 1")});
  ASSERT_EQ(lines.size(), 14u) << absl::StrJoin(lines, "\n");
  EXPECT_EQ(lines[0], "::group::build");
  ASSERT_THAT(lines[1], StartsWith("::stop-commands::"));
  const std::string word = lines[1].substr(17);
  EXPECT_EQ(word.size(), 32u);
  EXPECT_EQ(lines[2], "    ::add-mask::x");
  EXPECT_EQ(lines[4], "::" + word + "::");
  EXPECT_EQ(lines[5], "::endgroup::");
  EXPECT_EQ(lines[7], "::group::hook:migrate");
  // Nobody can know the next one.
  EXPECT_NE(lines[8].substr(17), word);
  EXPECT_EQ(lines[11], "::endgroup::");
  EXPECT_EQ(lines.back(), "::error title=hook%3Amigrate on web-1::exit%0Acode 1");
}

}  // namespace
}  // namespace slipway::cli
