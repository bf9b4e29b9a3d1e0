#include "clients/cli/job_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/clients/failed_deployment.h"

namespace slipway::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kBefore[] = "1111111111111111111111111111111111111111";
constexpr char kNow[] = "2222222222222222222222222222222222222222";

JobReport Failed() {
  JobReport report;
  report.deployment = FailedDeployment();
  return report;
}

JobReport Succeeded() {
  JobReport report = Failed();
  report.deployment.set_state(pb::DEPLOYMENT_STATE_SUCCEEDED);
  report.deployment.set_commit(kNow);
  report.deployment.set_previous_release("applications/gifty/releases/c0d458a03de6");
  report.previous_commit = kBefore;
  report.repository_url = "https://git.example/acme/gifty";
  pb::HostStatus& host = *report.application.emplace().add_hosts();
  host.set_host("web-1");
  host.set_active_slot(pb::SLOT_GREEN);
  host.set_active_release("6f00e327d501");
  host.set_active_commit(kNow);
  host.set_port(8001);
  host.set_warm_release("c0d458a03de6");
  host.mutable_warm_left()->set_seconds(600);
  pb::HostRollout& rollout = *report.deployment.mutable_rollouts(0);
  rollout.add_steps()->mutable_evidence()->mutable_build()->add_built_images("slipway/gifty:1");
  rollout.add_steps()->mutable_evidence()->mutable_shared()->add_changed_services("database");
  rollout.add_steps()->mutable_evidence()->mutable_workers()->add_replaced("scheduler");
  return report;
}

TEST(JobSummary, SaysHowItEndedStepByStepAndShowsWhatFailedStepsSaw) {
  const std::string page = JobSummary(Failed());
  EXPECT_THAT(page, HasSubstr("### Deployment 20261124-6f00e3: failed"));
  EXPECT_THAT(page, HasSubstr("commit v2, release 6f00e327d501, after 12.0s"));
  EXPECT_THAT(page, HasSubstr("| +1.0s | web-1 | stage | done | 500ms | 4 files |"));
  EXPECT_THAT(page, HasSubstr("| - | web-1 | health | failed | 0s | 503 instead of 200 |"));
  EXPECT_THAT(page, HasSubstr("<details open><summary>What health on web-1 saw"));
  EXPECT_THAT(page, Not(HasSubstr("What stage")));
  EXPECT_THAT(page, HasSubstr("nothing of this application served before"));
}

TEST(JobSummary, SaysWhatRunsNowAndWhatChanged) {
  const std::string page = JobSummary(Succeeded());
  EXPECT_THAT(page, HasSubstr("| web-1 | green | 8001 | 6f00e327d501 | "
                              "[22222222](https://git.example/acme/gifty/commit/"));
  EXPECT_THAT(page, HasSubstr("| c0d458a03de6 for 10m0s |"));
  EXPECT_THAT(page, HasSubstr("[11111111 to 22222222](https://git.example/acme/gifty/compare/"));
  EXPECT_THAT(page, HasSubstr("| web-1 | images built | slipway/gifty:1 |"));
  EXPECT_THAT(
      page, HasSubstr("| web-1 | shared services defined anew, and left as they are | database |"));
  EXPECT_THAT(page, HasSubstr("| web-1 | workers replaced | scheduler |"));
}

TEST(JobSummary, TextsStayInTheirPlace) {
  JobReport report = Succeeded();
  report.deployment.set_commit("x](https://evil.example)");
  const std::string page = JobSummary(report);
  EXPECT_THAT(page, HasSubstr("not healthy \\| see &lt;b&gt;below&lt;/b&gt; what served goes on"));
  EXPECT_THAT(page, HasSubstr("commit x\\](https://evil.example),"));
  // Its fence is longer than the one in the text.
  EXPECT_THAT(page, HasSubstr("\n`````\n"));
}

TEST(JobSummary, OfAnErrorSaysWhatToDo) {
  EXPECT_EQ(ErrorSummary("tests_x failed", "run them"),
            "### Slipway: not done\n\ntests\\_x failed\n\nwhat to do: run them\n\n");
}

}  // namespace
}  // namespace slipway::cli
