// The real server, in this process, on a unix socket, with a fake executor behind real gRPC; asked through real stubs.
#include "controller/server.h"

#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/manifest.h"
#include "common/status.h"
#include "tests/support/fake_executor.h"
#include "tests/support/file_tree.h"
#include "tests/support/postgres_server.h"
#include "tests/support/unix_channel.h"

#include "slipway/v1/applications.grpc.pb.h"
#include "slipway/v1/deployments.grpc.pb.h"
#include "slipway/v1/hosts.grpc.pb.h"
#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "CANARY-7c1d";

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(::testing::TempDir()) /
        absl::StrCat("server.", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    executor_ = std::make_unique<FakeExecutor>("web-1", folder_ / "x.sock");
    Start();
  }
  void TearDown() override {
    executor_->Release();
    server_.reset();
    executor_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Start() {
    slipway::config::v1::ControllerConfig config;
    config.set_state(folder_ / "state");
    config.set_socket(folder_ / "c.sock");
    config.set_metrics_address("127.0.0.1:0");
    if (!conninfo_.empty()) config.mutable_database()->set_postgres(conninfo_);
    config.add_hosts()->set_name("web-1");
    config.mutable_hosts(0)->set_address(absl::StrCat("unix://", (folder_ / "x.sock").string()));
    auto server = Server::Start(config);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    auto channel = slipway::testing::UnixChannel(folder_ / "c.sock");
    applications_ = pb::ApplicationService::NewStub(channel);
    releases_ = pb::ReleaseService::NewStub(channel);
    deployments_ = pb::DeploymentService::NewStub(channel);
    hosts_ = pb::HostService::NewStub(channel);
  }

  template <typename Response, typename Stub, typename Method, typename Request>
  absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    context.AddMetadata("x-slipway-actor", "ann");
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  void Apply() {
    pb::ApplyApplicationRequest request;
    pb::ApplicationSpec& spec = *request.mutable_spec();
    spec.set_app("gifty");
    spec.mutable_compose()->add_slotted("api");
    spec.mutable_slots()->set_blue(8000);
    spec.mutable_slots()->set_green(8001);
    spec.mutable_health()->mutable_http()->set_path("/health");
    spec.mutable_nginx()->set_upstream("gifty_backend");
    const auto applied = Call<pb::ApplyApplicationResponse>(
        *applications_, &pb::ApplicationService::Stub::ApplyApplication, request);
    ASSERT_TRUE(applied.ok()) << applied.status();
    pb::SetEnvironmentRequest set;
    set.set_name("applications/gifty");
    set.set_env_file(absl::StrCat("TOKEN='", kSecret, "'\n"));
    const auto answer = Call<pb::SetEnvironmentResponse>(
        *applications_, &pb::ApplicationService::Stub::SetEnvironment, set);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->environment_revision(), 1u);
  }

  // Uploads a tree of one file; answers the release's name.
  std::string MakeRelease(const std::string& text) {
    const std::string bytes = SerializeManifest(slipway::testing::OneFileTree(text));
    grpc::ClientContext context;
    pb::UploadBlobsResponse totals;
    const auto stream = releases_->UploadBlobs(&context, &totals);
    const auto sink = [&](const pb::UploadBlobsRequest& chunk) { return stream->Write(chunk); };
    EXPECT_TRUE(SendBytes(bytes, Sha256Of(bytes), sink).ok());
    EXPECT_TRUE(SendBytes(text, Sha256Of(text), sink).ok());
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    pb::CreateReleaseRequest request;
    request.set_parent("applications/gifty");
    request.set_manifest_digest(Sha256Of(bytes));
    request.set_commit("c1");
    const auto made = Call<pb::CreateReleaseResponse>(
        *releases_, &pb::ReleaseService::Stub::CreateRelease, request);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->release().name() : "";
  }

  absl::StatusOr<pb::CreateDeploymentResponse> Deploy(const std::string& release,
                                                      const std::string& request_id = "") {
    pb::CreateDeploymentRequest request;
    request.set_parent("applications/gifty");
    request.set_release(release);
    request.set_request_id(request_id);
    return Call<pb::CreateDeploymentResponse>(
        *deployments_, &pb::DeploymentService::Stub::CreateDeployment, request);
  }

  std::vector<pb::Event> Watch(const std::string& name, uint64_t after = 0) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    pb::WatchDeploymentRequest request;
    request.set_name(name);
    request.set_after(after);
    const auto stream = deployments_->WatchDeployment(&context, request);
    std::vector<pb::Event> events;
    pb::WatchDeploymentResponse response;
    while (stream->Read(&response)) events.push_back(response.event());
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return events;
  }

  pb::DeploymentState Finish(const std::string& name) {
    const auto events = Watch(name);
    return events.empty() ? pb::DEPLOYMENT_STATE_UNSPECIFIED : events.back().state().state();
  }

  std::filesystem::path folder_;
  // Of a database; a file when empty.
  std::string conninfo_;
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<pb::ApplicationService::Stub> applications_;
  std::unique_ptr<pb::ReleaseService::Stub> releases_;
  std::unique_ptr<pb::DeploymentService::Stub> deployments_;
  std::unique_ptr<pb::HostService::Stub> hosts_;
};

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
  pb::RollbackApplicationRequest request;
  request.set_name("applications/gifty");
  const auto back = Call<pb::RollbackApplicationResponse>(
      *deployments_, &pb::DeploymentService::Stub::RollbackApplication, request);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->deployment().release(), first);
  EXPECT_EQ(Finish(back->deployment().name()), pb::DEPLOYMENT_STATE_SUCCEEDED);
  const auto further = Call<pb::RollbackApplicationResponse>(
      *deployments_, &pb::DeploymentService::Stub::RollbackApplication, request);
  EXPECT_EQ(DetailOf(further.status()).reason(), "NO_PREVIOUS_RELEASE");
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
