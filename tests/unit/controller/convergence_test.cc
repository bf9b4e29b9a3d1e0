// A fleet that is not whole: hosts by label, hosts that are away or cordoned, that catch up, that differ; and clients that leave.
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "tests/unit/controller/server_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConvergenceTest : public ServerTest {
 protected:
  void Configure(slipway::config::v1::ControllerConfig& config) override {
    config.mutable_abandoned_after()->set_nanos(300'000'000);
    (*config.mutable_hosts(0)->mutable_labels())["role"] = "web";
    for (const char* name : {"web-2", "web-3"}) {
      auto& host = *config.add_hosts();
      host.set_name(name);
      host.set_address(absl::StrCat("unix://", Socket(name)));
      (*host.mutable_labels())["role"] = "web";
      if (!others_.contains(name)) Bring(name);
    }
  }
  void Specify(pb::ApplicationSpec& spec) override {
    spec.add_hosts("role=web");
    if (specify_) specify_(spec);
  }
  void TearDown() override {
    for (auto& [name, executor] : others_) executor->Release();
    ServerTest::TearDown();
    others_.clear();
  }

  std::string Socket(const std::string& host) { return folder_ / absl::StrCat(host, ".sock"); }
  void Bring(const std::string& host) {
    others_[host] = std::make_unique<FakeExecutor>(host, Socket(host));
  }
  void TakeAway(const std::string& host) { others_.erase(host); }

  absl::StatusOr<pb::Deployment> DeployTo(const std::string& release, bool skip_offline = false,
                                          bool detached = false) {
    pb::CreateDeploymentRequest request;
    request.set_parent("applications/gifty");
    request.set_release(release);
    request.set_skip_offline(skip_offline);
    request.set_detached(detached);
    SLIPWAY_ASSIGN_OR_RETURN(
        const auto made,
        Call<pb::CreateDeploymentResponse>(
            *deployments_, &pb::DeploymentService::Stub::CreateDeployment, request));
    return made.deployment();
  }
  pb::Deployment Get(const std::string& name) {
    pb::GetDeploymentRequest request;
    request.set_name(name);
    return Call<pb::GetDeploymentResponse>(*deployments_,
                                           &pb::DeploymentService::Stub::GetDeployment, request)
        ->deployment();
  }
  pb::Application Status() {
    pb::GetApplicationRequest request;
    request.set_name("applications/gifty");
    return Call<pb::GetApplicationResponse>(*applications_,
                                            &pb::ApplicationService::Stub::GetApplication, request)
        ->application();
  }
  pb::HostStatus StatusOf(const std::string& host) {
    const pb::Application application = Status();
    for (const pb::HostStatus& one : application.hosts()) {
      if (one.host() == host) return one;
    }
    return {};
  }
  // Until the host stands so.
  void Await(const std::string& host, pb::HostStanding standing) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (StatusOf(host).standing() != standing) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << Status().DebugString();
      std::this_thread::yield();
    }
  }
  std::vector<std::string> HostsOf(const pb::Deployment& deployment) {
    std::vector<std::string> hosts;
    for (const pb::HostRollout& rollout : deployment.rollouts()) hosts.push_back(rollout.host());
    return hosts;
  }
  void StopContainerOn(const std::string& host) {
    pb::Difference stopped;
    stopped.set_kind(pb::DIFFERENCE_KIND_CONTAINER);
    stopped.set_subject("api");
    stopped.set_text("does not run");
    others_[host]->Host().Differ(stopped);
  }
  pb::Deployment Newest() { return Get("applications/gifty/deployments/-"); }
  absl::StatusOr<pb::ReconcileApplicationResponse> Reconcile() {
    pb::ReconcileApplicationRequest request;
    request.set_name("applications/gifty");
    return Call<pb::ReconcileApplicationResponse>(
        *deployments_, &pb::DeploymentService::Stub::ReconcileApplication, request);
  }

  std::function<void(pb::ApplicationSpec&)> specify_;
  std::map<std::string, std::unique_ptr<FakeExecutor>> others_;
};

TEST_F(ConvergenceTest, ASelectorMeansTheHostsThatHaveTheLabelNow) {
  Apply();
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(HostsOf(*made), ElementsAre("web-1", "web-2", "web-3"));
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(ConvergenceTest, AHostThatIsAwayRefusesTheDeploymentAndIsNamed) {
  Apply();
  TakeAway("web-2");
  const auto refused = DeployTo(MakeRelease("v1"));
  EXPECT_EQ(DetailOf(refused.status()).reason(), "HOSTS_OFFLINE") << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("web-2"));
  EXPECT_THAT(DetailOf(refused.status()).cure(), HasSubstr("--skip-offline"));
}

TEST_F(ConvergenceTest, AHostThatWasSkippedIsShownAsBehindAndCatchesUpWhenItIsBack) {
  Apply();
  TakeAway("web-2");
  const auto made = DeployTo(MakeRelease("v1"), /*skip_offline=*/true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(HostsOf(*made), ElementsAre("web-1", "web-3"));
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_PARTIAL);
  const pb::Deployment ended = Get(made->name());
  ASSERT_EQ(ended.left_out_size(), 1);
  EXPECT_EQ(ended.left_out(0).host(), "web-2");
  EXPECT_EQ(ended.left_out(0).reason(), pb::LEFT_OUT_REASON_OFFLINE);
  EXPECT_THAT(ended.message(), HasSubstr("2 of 3 hosts"));
  EXPECT_THAT(ended.message(), HasSubstr("web-2 (offline)"));
  const pb::HostStatus away = StatusOf("web-2");
  EXPECT_EQ(away.standing(), pb::HOST_STANDING_BEHIND);
  EXPECT_THAT(away.standing_text(), HasSubstr("catch up"));

  Bring("web-2");
  Await("web-2", pb::HOST_STANDING_CURRENT);
  EXPECT_EQ(Finish(Newest().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(Newest().kind(), pb::DEPLOYMENT_KIND_RECONCILE);
  EXPECT_THAT(HostsOf(Newest()), ElementsAre("web-2"));
  EXPECT_EQ(Newest().actor(), "controller");
  // What ought to serve has not changed by that.
  EXPECT_EQ(Status().current_deployment(), made->name());
}

TEST_F(ConvergenceTest, CatchingUpIsAPersonsWhereThePolicySaysSo) {
  specify_ = [](pb::ApplicationSpec& spec) {
    spec.mutable_rollout()->set_catch_up(pb::INITIATIVE_MANUAL);
  };
  Apply();
  TakeAway("web-2");
  const auto made = DeployTo(MakeRelease("v1"), /*skip_offline=*/true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_PARTIAL);
  Bring("web-2");
  while (!StatusOf("web-2").connected()) std::this_thread::yield();
  EXPECT_EQ(StatusOf("web-2").standing(), pb::HOST_STANDING_BEHIND);
  EXPECT_THAT(StatusOf("web-2").standing_text(), HasSubstr("slipway reconcile gifty"));
  const auto reconciled = Reconcile();
  ASSERT_TRUE(reconciled.ok()) << reconciled.status();
  EXPECT_THAT(HostsOf(reconciled->deployment()), ElementsAre("web-2"));
  EXPECT_EQ(Finish(reconciled->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  Await("web-2", pb::HOST_STANDING_CURRENT);
  EXPECT_FALSE(Reconcile()->has_deployment()) << "nothing is left to do";
}

TEST_F(ConvergenceTest, ACordonedHostIsLeftOutUntilItIsUncordoned) {
  Apply();
  pb::CordonHostRequest cordon;
  cordon.set_name("hosts/web-3");
  cordon.set_reason("new kernel");
  const auto cordoned =
      Call<pb::CordonHostResponse>(*hosts_, &pb::HostService::Stub::CordonHost, cordon);
  ASSERT_TRUE(cordoned.ok()) << cordoned.status();
  EXPECT_THAT(cordoned->deployments(), IsEmpty());
  // It outlives the controller.
  server_.reset();
  Start();
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(HostsOf(*made), ElementsAre("web-1", "web-2"));
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_PARTIAL);
  EXPECT_EQ(Get(made->name()).left_out(0).reason(), pb::LEFT_OUT_REASON_CORDONED);
  EXPECT_THAT(StatusOf("web-3").standing_text(), HasSubstr("slipway hosts uncordon web-3"));
  const auto listed = Call<pb::ListHostsResponse>(*hosts_, &pb::HostService::Stub::ListHosts,
                                                  pb::ListHostsRequest());
  EXPECT_EQ(listed->hosts(2).cordon().reason(), "new kernel");

  pb::UncordonHostRequest uncordon;
  uncordon.set_name("hosts/web-3");
  EXPECT_TRUE(
      Call<pb::UncordonHostResponse>(*hosts_, &pb::HostService::Stub::UncordonHost, uncordon)
          ->changed());
  Await("web-3", pb::HOST_STANDING_CURRENT);
  EXPECT_THAT(HostsOf(Newest()), ElementsAre("web-3"));
}

TEST_F(ConvergenceTest, CordoningNamesWhatIsUnderWayThere) {
  Apply();
  executor_->Hold("health");
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  pb::CordonHostRequest cordon;
  cordon.set_name("hosts/web-3");
  const auto cordoned =
      Call<pb::CordonHostResponse>(*hosts_, &pb::HostService::Stub::CordonHost, cordon);
  ASSERT_TRUE(cordoned.ok()) << cordoned.status();
  EXPECT_THAT(cordoned->deployments(), ElementsAre(made->name()));
  EXPECT_EQ(DetailOf(Reconcile().status()).reason(), "NOTHING_SERVES");
  executor_->Release();
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_SUCCEEDED) << "with what it had begun";
}

TEST_F(ConvergenceTest, WhatDiffersIsShownAndMendedOnAPersonsWord) {
  Apply();
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  StopContainerOn("web-2");
  pb::GetDriftRequest ask;
  ask.set_name("applications/gifty");
  const auto drift =
      Call<pb::GetDriftResponse>(*applications_, &pb::ApplicationService::Stub::GetDrift, ask);
  ASSERT_TRUE(drift.ok()) << drift.status();
  ASSERT_EQ(drift->hosts_size(), 3);
  EXPECT_EQ(drift->hosts(0).standing(), pb::HOST_STANDING_CURRENT);
  EXPECT_EQ(drift->hosts(1).standing(), pb::HOST_STANDING_DRIFTED);
  EXPECT_EQ(drift->hosts(1).differences(0).subject(), "api");
  Await("web-2", pb::HOST_STANDING_DRIFTED);
  const auto mended = Reconcile();
  ASSERT_TRUE(mended.ok()) << mended.status();
  EXPECT_EQ(Finish(mended->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  Await("web-2", pb::HOST_STANDING_CURRENT);
}

TEST_F(ConvergenceTest, WhatDiffersIsMendedByItselfWhereThePolicySaysSo) {
  specify_ = [](pb::ApplicationSpec& spec) {
    spec.mutable_rollout()->set_repair(pb::INITIATIVE_AUTOMATIC);
  };
  Apply();
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Finish(made->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  StopContainerOn("web-2");
  while (Newest().kind() != pb::DEPLOYMENT_KIND_RECONCILE) std::this_thread::yield();
  EXPECT_EQ(Finish(Newest().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_THAT(HostsOf(Newest()), ElementsAre("web-2"));
  Await("web-2", pb::HOST_STANDING_CURRENT);
}

TEST_F(ConvergenceTest, ALocalRollbackIsShownAndNotUndoneByItself) {
  Apply();
  EXPECT_EQ(Finish(DeployTo(MakeRelease("v1"))->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(Finish(DeployTo(MakeRelease("v2"))->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  others_["web-2"]->Host().RollBackLocally();
  Await("web-2", pb::HOST_STANDING_BEHIND);
  EXPECT_THAT(StatusOf("web-2").standing_text(), HasSubstr("slipway reconcile gifty"));
  EXPECT_EQ(Newest().kind(), pb::DEPLOYMENT_KIND_DEPLOY);
}

TEST_F(ConvergenceTest, ADeploymentWhoseClientIsGoneIsCancelledWhereThePolicySaysSo) {
  specify_ = [](pb::ApplicationSpec& spec) {
    spec.mutable_rollout()->set_abandoned(pb::ABANDON_POLICY_CANCEL);
  };
  Apply();
  executor_->Hold("health");
  const std::string release = MakeRelease("v1");
  const auto abandoned = DeployTo(release);
  ASSERT_TRUE(abandoned.ok()) << abandoned.status();
  EXPECT_EQ(Finish(abandoned->name()), pb::DEPLOYMENT_STATE_CANCELLED)
      << "a watch of somebody else does not keep it";

  // One that nobody was to wait for goes on.
  executor_->Hold("health");
  const auto detached = DeployTo(release, /*skip_offline=*/false, /*detached=*/true);
  ASSERT_TRUE(detached.ok()) << detached.status();
  EXPECT_FALSE(detached->cancel_when_abandoned());
  executor_->AwaitStep("health");
  executor_->Release();
  EXPECT_EQ(Finish(detached->name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(ConvergenceTest, ADeploymentIsNotAbandonedWhileItsClientWatches) {
  specify_ = [](pb::ApplicationSpec& spec) {
    spec.mutable_rollout()->set_abandoned(pb::ABANDON_POLICY_CANCEL);
  };
  Apply();
  executor_->Hold("health");
  const auto made = DeployTo(MakeRelease("v1"));
  ASSERT_TRUE(made.ok()) << made.status();
  grpc::ClientContext context;
  pb::WatchDeploymentRequest watch;
  watch.set_name(made->name());
  watch.set_attend(true);
  const auto stream = deployments_->WatchDeployment(&context, watch);
  pb::WatchDeploymentResponse response;
  ASSERT_TRUE(stream->Read(&response));
  // Several times the grace, and it still runs.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(Get(made->name()).state(), pb::DEPLOYMENT_STATE_RUNNING);
  // Away for less than the grace, and back.
  context.TryCancel();
  stream->Finish();
  grpc::ClientContext again;
  const auto second = deployments_->WatchDeployment(&again, watch);
  ASSERT_TRUE(second->Read(&response));
  executor_->Release();
  while (second->Read(&response)) {
  }
  EXPECT_EQ(response.event().state().state(), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace slipway::controller
