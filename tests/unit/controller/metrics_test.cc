#include "controller/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/durations.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Time kNoon{seconds(1'800'000'000)};

HostObservation Seen(const std::string& release) {
  HostObservation seen;
  seen.connected = true;
  seen.last_seen = kNoon;
  seen.info.set_version("1.2.3");
  seen.info.set_free_bytes(5000);
  seen.info.set_nginx_old_workers(2);
  xpb::Counter& counter = *seen.info.add_counters();
  counter.set_name("reloads:not_effective");
  counter.set_value(3);
  xpb::ApplicationState& state = seen.applications["gifty"];
  state.set_active_release(release);
  xpb::SlotState& slot = *state.add_slots();
  slot.set_slot(pb::SLOT_BLUE);
  slot.set_running(true);
  slot.set_release(release);
  return seen;
}

StepRecord Step(const std::string& name, Time start, milliseconds took, pb::StepState state) {
  StepRecord step;
  step.name = name;
  step.state = state;
  step.start_time = start;
  step.duration = took;
  return step;
}

DeploymentRecord Ended(pb::DeploymentState state, pb::DeploymentKind kind) {
  DeploymentRecord deployment;
  deployment.app = "gifty";
  deployment.kind = kind;
  deployment.state = state;
  deployment.create_time = kNoon;
  deployment.end_time = kNoon + seconds(90);
  deployment.rollouts.resize(2);
  deployment.rollouts[0].steps = {
      Step("switch", kNoon + seconds(10), milliseconds(200), pb::STEP_STATE_DONE)};
  deployment.rollouts[1].steps = {
      Step("switch", kNoon + seconds(20), milliseconds(500), pb::STEP_STATE_DONE)};
  return deployment;
}

TEST(Metrics, ApplicationCountsFromNoughtAsSoonAsItIsKnown) {
  Metrics metrics;
  Present present;
  present.applications = {"gifty"};
  const std::string page = metrics.Text(present);
  for (const char* outcome :
       {"succeeded", "failed_before_switch", "rolled_back", "failed_after_switch", "cancelled"}) {
    EXPECT_THAT(page,
                HasSubstr("slipway_deployments_total{app=\"gifty\",kind=\"deploy\",outcome=\"" +
                          std::string(outcome) + "\"} 0\n"));
  }
  EXPECT_THAT(page, HasSubstr("slipway_rollbacks_total{app=\"gifty\",reason=\"asked\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("slipway_deployment_lead_time_seconds_count{app=\"gifty\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("slipway_deployment_recovery_seconds_count{app=\"gifty\"} 0\n"));
}

TEST(Metrics, SaysOfWhichApplicationsADeploymentRuns) {
  Metrics metrics;
  Present present;
  present.applications = {"gifty", "shop"};
  present.deploying = {"shop"};
  const std::string page = metrics.Text(present);
  EXPECT_THAT(page, HasSubstr("slipway_deployments_running{app=\"gifty\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("slipway_deployments_running{app=\"shop\"} 1\n"));
}

TEST(Metrics, HostThatWasNeverHeardOfHasNoDiskThatCouldBeFull) {
  Metrics metrics;
  Present present;
  present.hosts["web-1"] = {};
  const std::string page = metrics.Text(present);
  EXPECT_THAT(page, HasSubstr("slipway_executor_connected{host=\"web-1\"} 0\n"));
  EXPECT_THAT(page, Not(HasSubstr("slipway_executor_free_bytes")));
  EXPECT_THAT(page, Not(HasSubstr("slipway_nginx_old_workers")));
}

TEST(Metrics, OfAHostThatIsAwayOnlyWhatStaysTrueIsShown) {
  Metrics metrics;
  Present present;
  present.hosts["web-1"] = Seen("r1");
  const std::string near = metrics.Text(present);
  EXPECT_THAT(
      near,
      AllOf(HasSubstr("slipway_executor_free_bytes{host=\"web-1\"} 5000\n"),
            HasSubstr("slipway_nginx_old_workers{host=\"web-1\"} 2\n"),
            HasSubstr("slipway_build_info{version=\"1.2.3\",role=\"executor\",host=\"web-1\"} 1")));
  present.hosts["web-1"].connected = false;
  const std::string away = metrics.Text(present);
  EXPECT_THAT(away, Not(HasSubstr("slipway_executor_free_bytes")));
  EXPECT_THAT(away, HasSubstr("slipway_executor_connected{host=\"web-1\"} 0\n"));
  EXPECT_THAT(away, HasSubstr("slipway_release_info{app=\"gifty\",host=\"web-1\",slot=\"blue\","
                              "release=\"r1\"} 1\n"));
  EXPECT_THAT(away, HasSubstr("slipway_nginx_reloads_total{host=\"web-1\",outcome=\"not_"
                              "effective\"} 3\n"));
}

TEST(Metrics, HostThatIsGoneHasNoSeries) {
  Metrics metrics;
  Present present;
  present.hosts["web-1"] = Seen("r1");
  EXPECT_THAT(metrics.Text(present), HasSubstr("web-1"));
  present.hosts.clear();
  const std::string page = metrics.Text(present);
  EXPECT_THAT(page, Not(HasSubstr("web-1")));
  EXPECT_THAT(page, Not(HasSubstr("slipway_hosts_unconverged")));
}

TEST(Metrics, AMixedFleetCountsTheHostsThatAreBehindAndThoseThatDiffer) {
  Metrics metrics;
  Present present;
  const auto place = [&present](const std::string& host, pb::HostStanding standing) {
    HostPlace& one = present.places["gifty"].emplace_back();
    one.host = host;
    one.standing = standing;
  };
  place("a", pb::HOST_STANDING_CURRENT);
  place("b", pb::HOST_STANDING_UNKNOWN);
  EXPECT_THAT(metrics.Text(present), HasSubstr("slipway_hosts_unconverged{app=\"gifty\"} 0\n"));
  EXPECT_THAT(metrics.Text(present), HasSubstr("slipway_hosts_drifted{app=\"gifty\"} 0\n"));
  place("c", pb::HOST_STANDING_BEHIND);
  place("d", pb::HOST_STANDING_BEHIND);
  place("e", pb::HOST_STANDING_DRIFTED);
  EXPECT_THAT(metrics.Text(present), HasSubstr("slipway_hosts_unconverged{app=\"gifty\"} 2\n"));
  EXPECT_THAT(metrics.Text(present), HasSubstr("slipway_hosts_drifted{app=\"gifty\"} 1\n"));
}

TEST(Metrics, CertificatesOfControllerAndHostsStandSideBySide) {
  Metrics metrics;
  Present present;
  present.certificate_ends = kNoon;
  present.hosts["web-1"] = Seen("r1");
  *present.hosts["web-1"].info.mutable_certificate_expire_time() = ToProto(kNoon + seconds(7));
  const std::string page = metrics.Text(present);
  EXPECT_THAT(
      page,
      HasSubstr("slipway_tls_cert_not_after_timestamp_seconds{role=\"controller\"} 1800000000"));
  EXPECT_THAT(page, HasSubstr("slipway_tls_cert_not_after_timestamp_seconds{role=\"executor\","
                              "host=\"web-1\"} 1800000007"));
}

TEST(Metrics, OneFamilyHoldsWhatControllerAndExecutorsTakeUpAgain) {
  Metrics metrics;
  metrics.Resumed(2);
  Present present;
  present.hosts["web-1"] = Seen("r1");
  xpb::Counter& counter = *present.hosts["web-1"].info.add_counters();
  counter.set_name("resumes:taken_back");
  counter.set_value(1);
  const std::string page = metrics.Text(present);
  EXPECT_THAT(page, HasSubstr("slipway_journal_resumes_total{outcome=\"resumed\",role="
                              "\"controller\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("slipway_journal_resumes_total{role=\"executor\",outcome=\"taken_"
                              "back\",host=\"web-1\"} 1\n"));
  const std::string type = "# TYPE slipway_journal_resumes_total";
  EXPECT_EQ(page.find(type), page.rfind(type));
}

TEST(Metrics, LeadTimeEndsWhenTheLastHostIsProven) {
  Metrics metrics;
  metrics.DeploymentEnded(Ended(pb::DEPLOYMENT_STATE_SUCCEEDED, pb::DEPLOYMENT_KIND_DEPLOY),
                          kNoon - seconds(100));
  EXPECT_THAT(metrics.Text({}),
              HasSubstr("slipway_deployment_lead_time_seconds_sum{app=\"gifty\"} 120.5\n"));
}

TEST(Metrics, TimeToRestoreBeginsWithTheSwitchThatFailed) {
  DeploymentRecord deployment = Ended(pb::DEPLOYMENT_STATE_ROLLED_BACK, pb::DEPLOYMENT_KIND_DEPLOY);
  deployment.reason = pb::FAILURE_REASON_BAKE;
  deployment.rollouts[0].steps.push_back(
      Step("undo:switch", kNoon + seconds(30), milliseconds(250), pb::STEP_STATE_DONE));
  Metrics metrics;
  metrics.DeploymentEnded(deployment, std::nullopt);
  const std::string page = metrics.Text({});
  EXPECT_THAT(page, HasSubstr("slipway_deployment_recovery_seconds_sum{app=\"gifty\"} 20.25\n"));
  EXPECT_THAT(page, HasSubstr("slipway_rollbacks_total{app=\"gifty\",reason=\"bake\"} 1\n"));
}

TEST(Metrics, TimeToRestoreOfARollbackBeginsWithTheRequest) {
  const auto took =
      TimeToRestore(Ended(pb::DEPLOYMENT_STATE_SUCCEEDED, pb::DEPLOYMENT_KIND_ROLLBACK));
  EXPECT_EQ(took, std::chrono::nanoseconds(milliseconds(20'500)));
}

TEST(Metrics, WhatFailedBeforeTheSwitchRestoredNothing) {
  for (const auto state : {pb::DEPLOYMENT_STATE_FAILED, pb::DEPLOYMENT_STATE_CANCELLED,
                           pb::DEPLOYMENT_STATE_NEEDS_ATTENTION}) {
    EXPECT_EQ(TimeToRestore(Ended(state, pb::DEPLOYMENT_KIND_ROLLBACK)), std::nullopt);
  }
  EXPECT_EQ(TimeToRestore(Ended(pb::DEPLOYMENT_STATE_SUCCEEDED, pb::DEPLOYMENT_KIND_DEPLOY)),
            std::nullopt);
}

TEST(Metrics, StreamsAreCountedAndNotTimed) {
  Metrics metrics;
  const std::string watch = "/slipway.v1.DeploymentService/WatchDeployment";
  metrics.Called(watch, 0, std::nullopt);
  metrics.Called("/made.up/Method", 12, milliseconds(1));
  const std::string page = metrics.Text({});
  EXPECT_THAT(page, HasSubstr("slipway_grpc_requests_total{code=\"OK\",method=\"" + watch));
  EXPECT_THAT(page,
              Not(HasSubstr("slipway_grpc_request_duration_seconds_count{method=\"" + watch)));
  EXPECT_THAT(page, HasSubstr("slipway_grpc_request_duration_seconds_count{method=\"other\"} 1\n"));
}

TEST(Metrics, HistoryOnceBrokenStaysBroken) {
  Metrics metrics;
  metrics.HistoryIntact(true);
  EXPECT_THAT(metrics.Text({}), HasSubstr("slipway_history_intact 1\n"));
  metrics.HistoryIntact(false);
  metrics.HistoryIntact(true);
  EXPECT_THAT(metrics.Text({}), HasSubstr("slipway_history_intact 0\n"));
}

}  // namespace
}  // namespace slipway::controller
