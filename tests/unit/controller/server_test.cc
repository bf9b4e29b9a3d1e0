// The real server, in this process, on a unix socket, with a fake executor behind real gRPC; asked through real stubs.
#include "controller/server.h"

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/adopted_release.h"
#include "common/digest.h"
#include "common/status.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/controller/server_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ServerTest, DeploysAndSaysSoTwice) {
  Apply();
  const std::string release = MakeRelease("v1");
  const auto made = Deploy(release, "r1");
  ASSERT_TRUE(made.ok()) << made.status();
  const std::string name = made->deployment().name();
  const auto events = Watch(name);
  ASSERT_FALSE(events.empty());
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].sequence(), i + 1);
  EXPECT_EQ(events.back().state().state(), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(Watch(name, 5).front().sequence(), 6u);
  EXPECT_THAT(executor_->Host().LastEnvFile(), HasSubstr(kSecret));
  EXPECT_EQ(executor_->Blobs(), 1u);
  EXPECT_EQ(Deploy(release, "r1")->deployment().name(), name);
  EXPECT_EQ(DetailOf(Deploy(MakeRelease("v2"), "r1").status()).reason(), "REQUEST_ID_REUSED");
  const auto again = Deploy(release, "r2");
  EXPECT_TRUE(again->up_to_date());
  EXPECT_FALSE(again->has_deployment());
  EXPECT_TRUE(Deploy(release, "r2")->up_to_date());
}

TEST_F(ServerTest, PlansADraftAndStoresNothing) {
  Apply();
  const std::string release = MakeRelease("v1");
  EXPECT_EQ(Finish(Deploy(release)->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  pb::GetApplicationRequest get;
  get.set_name("applications/gifty");
  const auto before = Call<pb::GetApplicationResponse>(
      *applications_, &pb::ApplicationService::Stub::GetApplication, get);
  pb::GetReleaseRequest get_release;
  get_release.set_name(release);
  const auto made =
      Call<pb::GetReleaseResponse>(*releases_, &pb::ReleaseService::Stub::GetRelease, get_release);

  pb::CreateDeploymentRequest request;
  request.set_parent("applications/gifty");
  request.set_validate_only(true);
  pb::ReleaseDraft& draft = *request.mutable_draft();
  *draft.mutable_spec() = before->application().spec();
  draft.set_manifest_digest(made->release().manifest_digest());
  draft.set_commit("c1");
  const auto create = &pb::DeploymentService::Stub::CreateDeployment;
  const auto same = Call<pb::CreateDeploymentResponse>(*deployments_, create, request);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->plan().release(), release) << "what Create would make";

  draft.mutable_spec()->mutable_slots()->set_blue(9000);
  const auto other = Call<pb::CreateDeploymentResponse>(*deployments_, create, request);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->plan().release(), release);
  EXPECT_FALSE(other->up_to_date());
  const auto after = Call<pb::GetApplicationResponse>(
      *applications_, &pb::ApplicationService::Stub::GetApplication, get);
  EXPECT_EQ(after->application().DebugString(), before->application().DebugString());
  get_release.set_name(other->plan().release());
  EXPECT_EQ(
      Call<pb::GetReleaseResponse>(*releases_, &pb::ReleaseService::Stub::GetRelease, get_release)
          .status()
          .code(),
      absl::StatusCode::kNotFound);

  // Nor does it need the application to be there; but it never deploys.
  request.set_parent("applications/other");
  draft.mutable_spec()->set_app("other");
  EXPECT_TRUE(Call<pb::CreateDeploymentResponse>(*deployments_, create, request).ok());
  request.set_validate_only(false);
  EXPECT_EQ(DetailOf(Call<pb::CreateDeploymentResponse>(*deployments_, create, request).status())
                .reason(),
            "BAD_DRAFT");
}

TEST_F(ServerTest, RollsBackToThePreviousReleaseAndNotToTheBrokenOne) {
  Apply();
  const std::string first = MakeRelease("v1");
  const std::string second = MakeRelease("v2");
  for (const std::string& release : {first, second}) {
    EXPECT_EQ(Finish(Deploy(release)->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  }
  const auto back = RollBack();
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->deployment().release(), first);
  EXPECT_EQ(Finish(back->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(DetailOf(RollBack().status()).reason(), "NO_PREVIOUS_RELEASE");
}

TEST_F(ServerTest, RollsBackToTheVersionThatWasTakenOverWhileItIsWarm) {
  executor_->Host().Adopt();
  Apply();
  EXPECT_EQ(Finish(Deploy(MakeRelease("v1"))->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto plan = RollBack("", /*validate_only=*/true);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->plan().files_size() + plan->plan().environment_removed_size(), 0);
  const auto back = RollBack();
  ASSERT_TRUE(back.ok()) << back.status();
  const std::string adopted = absl::StrCat("applications/gifty/releases/", kAdoptedRelease);
  EXPECT_EQ(back->deployment().release(), adopted);
  EXPECT_EQ(back->deployment().kind(), pb::DEPLOYMENT_KIND_ROLLBACK);
  EXPECT_EQ(Finish(back->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(executor_->Host().ActiveRelease(), kAdoptedRelease);
  EXPECT_THAT(executor_->Host().Violations(), ::testing::IsEmpty());
  pb::GetDeploymentRequest get;
  get.set_name(back->deployment().name());
  const auto ended = Call<pb::GetDeploymentResponse>(
      *deployments_, &pb::DeploymentService::Stub::GetDeployment, get);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->deployment().message(), "The version that was taken over serves on every host");
  // Nothing was there before it, and it is no release to deploy.
  EXPECT_EQ(DetailOf(RollBack().status()).reason(), "NO_PREVIOUS_RELEASE");
  EXPECT_EQ(DetailOf(Deploy(adopted).status()).reason(), "NOT_DEPLOYABLE");
  // And from there on to the next one, from which it is the way back again.
  EXPECT_EQ(Finish(Deploy(MakeRelease("v2"))->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto again = RollBack();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->deployment().release(), adopted);
  EXPECT_EQ(Finish(again->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(ServerTest, TheVersionThatWasTakenOverIsNoWayBackOnceItsSlotHasAnotherRelease) {
  executor_->Host().Adopt();
  Apply();
  const std::string first = MakeRelease("v1");
  for (const std::string& release : {first, MakeRelease("v2")}) {
    EXPECT_EQ(Finish(Deploy(release)->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  }
  const auto back = RollBack();
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->deployment().release(), first);
  EXPECT_EQ(Finish(back->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto gone = RollBack(absl::StrCat("applications/gifty/releases/", kAdoptedRelease));
  EXPECT_EQ(DetailOf(gone.status()).reason(), "NO_PREVIOUS_RELEASE");
}

TEST_F(ServerTest, PagesThroughReleasesAndDeploymentsNewestFirst) {
  Apply();
  std::vector<std::string> made;
  std::vector<std::string> deployed;
  for (const char* text : {"v1", "v2", "v3", "v4"}) {
    made.insert(made.begin(), MakeRelease(text));
    deployed.insert(deployed.begin(), Deploy(made.front())->deployment().name());
    EXPECT_EQ(Finish(deployed.front()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  }
  pb::ListReleasesRequest releases;
  releases.set_parent("applications/gifty");
  releases.set_page_size(3);
  std::vector<std::string> listed;
  do {
    const auto page = Call<pb::ListReleasesResponse>(
        *releases_, &pb::ReleaseService::Stub::ListReleases, releases);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const pb::Release& release : page->releases()) listed.push_back(release.name());
    releases.set_page_token(page->next_page_token());
  } while (!releases.page_token().empty());
  EXPECT_EQ(listed, made);

  pb::ListDeploymentsRequest deployments;
  deployments.set_parent("applications/gifty");
  deployments.set_page_size(3);
  listed.clear();
  do {
    const auto page = Call<pb::ListDeploymentsResponse>(
        *deployments_, &pb::DeploymentService::Stub::ListDeployments, deployments);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const pb::Deployment& deployment : page->deployments())
      listed.push_back(deployment.name());
    deployments.set_page_token(page->next_page_token());
  } while (!deployments.page_token().empty());
  EXPECT_EQ(listed, deployed);

  deployments.set_page_size(-1);
  EXPECT_EQ(DetailOf(Call<pb::ListDeploymentsResponse>(
                         *deployments_, &pb::DeploymentService::Stub::ListDeployments, deployments)
                         .status())
                .reason(),
            "BAD_PAGE_SIZE");
}

TEST_F(ServerTest, StartsTheNewestOfThoseThatWaitedWhenTheFirstHasEnded) {
  Apply();
  executor_->Hold("health");
  const std::string first = Deploy(MakeRelease("v1"))->deployment().name();
  executor_->AwaitStep("health");
  const auto second = Deploy(MakeRelease("v2"))->deployment();
  EXPECT_EQ(second.state(), pb::DEPLOYMENT_STATE_QUEUED);
  const std::string third = Deploy(MakeRelease("v3"))->deployment().name();
  EXPECT_EQ(Finish(second.name()), pb::DEPLOYMENT_STATE_SUPERSEDED);
  pb::GetApplicationRequest get;
  get.set_name("applications/gifty");
  const auto application = Call<pb::GetApplicationResponse>(
      *applications_, &pb::ApplicationService::Stub::GetApplication, get);
  EXPECT_EQ(application->application().running_deployment(), first);
  EXPECT_EQ(application->application().queued_deployment(), third);
  // What waits does so for a controller that comes after this one, too.
  server_.reset();
  Start();
  executor_->Release();
  EXPECT_EQ(Finish(first), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto events = Watch(third);
  EXPECT_THAT(events.front().state().message(), HasSubstr("waits for"));
  EXPECT_EQ(events.back().state().state(), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(ServerTest, CancelsTheFirstDeploymentAndOneThatWaits) {
  Apply();
  executor_->Hold("health");
  const std::string release = MakeRelease("v1");
  const std::string name = Deploy(release)->deployment().name();
  executor_->AwaitStep("health");
  pb::CancelDeploymentRequest cancel;
  cancel.set_name(Deploy(MakeRelease("v2"))->deployment().name());
  ASSERT_TRUE(Call<pb::CancelDeploymentResponse>(
                  *deployments_, &pb::DeploymentService::Stub::CancelDeployment, cancel)
                  .ok());
  EXPECT_EQ(Finish(cancel.name()), pb::DEPLOYMENT_STATE_CANCELLED);
  cancel.set_name(name);
  ASSERT_TRUE(Call<pb::CancelDeploymentResponse>(
                  *deployments_, &pb::DeploymentService::Stub::CancelDeployment, cancel)
                  .ok());
  EXPECT_EQ(Finish(name), pb::DEPLOYMENT_STATE_CANCELLED);
  EXPECT_EQ(executor_->Host().Deeds().back(), "undo:start");
  EXPECT_EQ(DetailOf(Call<pb::CancelDeploymentResponse>(
                         *deployments_, &pb::DeploymentService::Stub::CancelDeployment, cancel)
                         .status())
                .reason(),
            "CANCEL_TOO_LATE");
}

TEST_F(ServerTest, ResumesAfterARestartInTheMiddleOfAStep) {
  Apply();
  executor_->Hold("health");
  const std::string name = Deploy(MakeRelease("v1"))->deployment().name();
  executor_->AwaitStep("health");
  server_.reset();
  executor_->Release();
  Start();
  EXPECT_EQ(Finish(name), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto deeds = executor_->Host().Deeds();
  EXPECT_EQ(std::count(deeds.begin(), deeds.end(), "start"), 1);
}

TEST_F(ServerTest, KeepsItsStateInADatabaseAndTakesUpThereWhatRan) {
  slipway::testing::PostgresServer& database = slipway::testing::PostgresServer::Shared();
  server_.reset();
  conninfo_ = database.Options(database.NewDatabase()).conninfo;
  Start();
  Apply();
  const std::string served = Deploy(MakeRelease("v1"))->deployment().name();
  EXPECT_EQ(Finish(served), pb::DEPLOYMENT_STATE_SUCCEEDED);
  executor_->Hold("health");
  const std::string name = Deploy(MakeRelease("v2"))->deployment().name();
  executor_->AwaitStep("health");
  server_.reset();
  // Another machine's controller: it has the key, and the files of releases come from the database.
  std::filesystem::remove_all(folder_ / "state" / "blobs");
  executor_->Release();
  Start();
  EXPECT_EQ(Finish(name), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_EQ(Finish(Deploy(MakeRelease("v3"))->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
}

TEST_F(ServerTest, IsNotHeldUpByAWatcherThatNeverReads) {
  Apply();
  executor_->Hold("health");
  const std::string name = Deploy(MakeRelease("v1"))->deployment().name();
  executor_->AwaitStep("health");
  pb::WatchDeploymentRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  const auto lazy = deployments_->WatchDeployment(&context, request);
  std::vector<std::thread> watchers;
  for (int i = 0; i < 20; ++i) {
    watchers.emplace_back([&] { EXPECT_EQ(Finish(name), pb::DEPLOYMENT_STATE_SUCCEEDED); });
  }
  executor_->Release();
  for (auto& watcher : watchers) watcher.join();
  context.TryCancel();
  pb::WatchDeploymentResponse response;
  while (lazy->Read(&response)) {
  }
  EXPECT_FALSE(lazy->Finish().error_code() == grpc::StatusCode::INTERNAL);
}

TEST_F(ServerTest, ShowsMetricsHostsHistoryAndNoSecret) {
  executor_->AwaitAcknowledged(1);
  Apply();
  EXPECT_EQ(Finish(Deploy(MakeRelease("v1"))->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  httplib::Client http("127.0.0.1", server_->MetricsPort());
  EXPECT_EQ(http.Get("/healthz")->status, 200);
  const std::string page = http.Get("/metrics")->body;
  EXPECT_THAT(page, HasSubstr("slipway_deployments_total{app=\"gifty\",kind=\"deploy\",outcome="
                              "\"succeeded\"} 1"));
  EXPECT_THAT(page, HasSubstr("slipway_executor_connected{host=\"web-1\"} 1"));
  EXPECT_THAT(page, HasSubstr("slipway_grpc_requests_total"));
  const auto hosts = Call<pb::ListHostsResponse>(*hosts_, &pb::HostService::Stub::ListHosts,
                                                 pb::ListHostsRequest());
  ASSERT_EQ(hosts->hosts_size(), 1);
  EXPECT_EQ(hosts->hosts(0).executor_version(), "fake");
  const auto history = Call<pb::ListHistoryResponse>(
      *deployments_, &pb::DeploymentService::Stub::ListHistory, pb::ListHistoryRequest());
  const std::string rows = history->ShortDebugString();
  EXPECT_THAT(rows, HasSubstr("local_rollback"));
  EXPECT_THAT(rows, HasSubstr("ann"));
  EXPECT_THAT(rows + page, Not(HasSubstr(kSecret)));
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_ / "state")) {
    if (!file.is_regular_file()) continue;
    EXPECT_THAT(ReadFile(file.path()).value(), Not(HasSubstr(kSecret))) << file.path();
  }
}

TEST_F(ServerTest, RefusesASecondControllerOnTheSameState) {
  slipway::config::v1::ControllerConfig config;
  config.set_state(folder_ / "state");
  config.set_socket(folder_ / "other.sock");
  config.set_metrics_address("off");
  EXPECT_EQ(DetailOf(Server::Start(config).status()).reason(), "STATE_IN_USE");
}

}  // namespace
}  // namespace slipway::controller
