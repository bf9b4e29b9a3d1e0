#include "clients/cli/github.h"

#include <cstdlib>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

pb::Deployment Failed() {
  pb::Deployment deployment;
  deployment.set_name("applications/gifty/deployments/20261124-6f00e3");
  deployment.set_state(pb::DEPLOYMENT_STATE_FAILED);
  deployment.set_release("applications/gifty/releases/6f00e327d501");
  deployment.set_commit("v2");
  deployment.set_message("not healthy | see <b>below</b>\nwhat served goes on");
  deployment.mutable_create_time()->set_seconds(100);
  deployment.mutable_end_time()->set_seconds(112);
  pb::HostRollout& rollout = *deployment.add_rollouts();
  rollout.set_host("web-1");
  pb::Step& good = *rollout.add_steps();
  good.set_name("stage");
  good.set_state(pb::STEP_STATE_DONE);
  good.set_summary("4 files");
  pb::Step& bad = *rollout.add_steps();
  bad.set_name("health");
  bad.set_state(pb::STEP_STATE_FAILED);
  bad.set_summary("503 instead of 200");
  pb::HealthEvidence& health = *bad.mutable_evidence()->mutable_health();
  health.set_last_failure("503");
  health.add_container_tail("```` </details> ::error::no");
  return deployment;
}

// As the runner reads them.
std::map<std::string, std::string> Read(const std::string& outputs) {
  std::map<std::string, std::string> values;
  const std::vector<std::string> lines = absl::StrSplit(outputs, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> start = absl::StrSplit(lines[i], "<<");
    if (start.second.empty()) continue;
    std::vector<std::string> value;
    for (++i; i < lines.size() && lines[i] != start.second; ++i) value.push_back(lines[i]);
    values[start.first] = absl::StrJoin(value, "\n");
  }
  return values;
}

TEST(GitHub, AnnotationIsOneLineWhateverIsInIt) {
  EXPECT_EQ(ErrorAnnotation("health on web-1", "503"), "::error title=health on web-1::503");
  EXPECT_EQ(ErrorAnnotation("a,b:c", "100%\r\n::stop-commands::x"),
            "::error title=a%2Cb%3Ac::100%25%0D%0A::stop-commands::x");
}

TEST(GitHub, SummarySaysHowItEndedStepByStepAndWhatFailedStepsSaw) {
  const std::string page = JobSummary(Failed());
  EXPECT_THAT(page, HasSubstr("### Deployment 20261124-6f00e3: failed"));
  EXPECT_THAT(page, HasSubstr("commit v2, release 6f00e327d501, after 12.0s"));
  EXPECT_THAT(page, HasSubstr("| web-1 | stage | done | 0s | 4 files |"));
  EXPECT_THAT(page, HasSubstr("| web-1 | health | failed | 0s | 503 instead of 200 |"));
  EXPECT_THAT(page, HasSubstr("What health on web-1 saw"));
  EXPECT_THAT(page, Not(HasSubstr("What stage")));
}

TEST(GitHub, TextsStayInTheirPlace) {
  const std::string page = JobSummary(Failed());
  EXPECT_THAT(page, HasSubstr("not healthy \\| see &lt;b&gt;below&lt;/b&gt; what served goes on"));
  // Its fence is longer than the one in the text.
  EXPECT_THAT(page, HasSubstr("\n`````\n"));
}

TEST(GitHub, OutputsComeBackAsTheyWere) {
  pb::Deployment deployment = Failed();
  deployment.set_message("one\nstate<<EOF\nsucceeded\nEOF\ntwo");
  const auto values = Read(StepOutputs(deployment));
  EXPECT_EQ(values.at("deployment"), "20261124-6f00e3");
  EXPECT_EQ(values.at("state"), "failed");
  EXPECT_EQ(values.at("release"), "6f00e327d501");
  EXPECT_EQ(values.at("commit"), "v2");
  EXPECT_EQ(values.at("message"), deployment.message());
}

TEST(GitHub, AppendsToTheFilesThatTheRunnerNames) {
  const slipway::testing::TemporaryFolder folder;
  const auto page = folder.path() / "summary";
  const auto outputs = folder.path() / "outputs";
  ASSERT_TRUE(WriteFileAtomically(page, "before\n").ok());
  setenv("GITHUB_STEP_SUMMARY", page.c_str(), 1);
  setenv("GITHUB_OUTPUT", outputs.c_str(), 1);
  TellJob(Failed());
  unsetenv("GITHUB_STEP_SUMMARY");
  unsetenv("GITHUB_OUTPUT");
  EXPECT_EQ(ReadFile(page).value(), absl::StrCat("before\n", JobSummary(Failed())));
  EXPECT_EQ(Read(ReadFile(outputs).value()).at("state"), "failed");
  TellJob(Failed());
  EXPECT_EQ(ReadFile(page).value(), absl::StrCat("before\n", JobSummary(Failed())));
}

}  // namespace
}  // namespace slipway::cli
