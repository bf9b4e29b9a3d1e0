#include "clients/cli/progress.h"

#include "absl/strings/str_cat.h"
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

pb::Event OnHost(int host, const std::string& step, pb::StepState state, int seconds = 0) {
  pb::Event event = Ended(step, state, "503");
  event.set_host(absl::StrCat("host-", host));
  event.mutable_step()->mutable_duration()->set_seconds(seconds);
  return event;
}

TEST(Progress, CountsALargeFleetAndNamesWhatFails) {
  ::testing::internal::CaptureStdout();
  {
    const Output output;
    Progress progress(output, /*show_logs=*/false, /*hosts=*/100);
    for (int host = 0; host < 100; ++host) {
      progress.Show(OnHost(host, "health", pb::STEP_STATE_DISPATCHED));
    }
    for (int host = 0; host < 100; ++host) {
      const bool bad = host == 17;
      progress.Show(OnHost(host, "health", bad ? pb::STEP_STATE_FAILED : pb::STEP_STATE_DONE,
                           host == 42 ? 7 : 1));
    }
    // A batch of twenty, and one that is under way when all ends.
    for (int host = 0; host < 20; ++host) {
      progress.Show(OnHost(host, "switch", pb::STEP_STATE_DISPATCHED));
    }
    for (int host = 0; host < 20; ++host) {
      progress.Show(OnHost(host, "switch", pb::STEP_STATE_DONE));
    }
    progress.Show(OnHost(20, "switch", pb::STEP_STATE_DISPATCHED));
    progress.Show(OnHost(20, "switch", pb::STEP_STATE_DONE));
    progress.ShowEnd(pb::Deployment());
  }
  const std::vector<std::string> lines =
      absl::StrSplit(::testing::internal::GetCapturedStdout(), '\n', absl::SkipEmpty());
  ASSERT_GE(lines.size(), 5u);
  EXPECT_EQ(lines[0], "health           failed on host-17 after 1.0s: 503");
  EXPECT_EQ(lines[1], "health              99 of 100, 1 failed  slowest host-42 7.0s");
  EXPECT_THAT(lines[2], StartsWith("switch              20 of 100  slowest"));
  EXPECT_THAT(lines[3], StartsWith("switch              21 of 100  slowest"));
}

}  // namespace
}  // namespace slipway::cli
