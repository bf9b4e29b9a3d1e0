// Two controllers on one real database, in this process: who answers what, and how the lead goes over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/controller_client.h"
#include "common/status.h"
#include "controller/store/secret_box.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/controller/server_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;

class CandidateTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    slipway::testing::PostgresServer& database = slipway::testing::PostgresServer::Shared();
    server_.reset();
    conninfo_ = database.Options(database.NewDatabase()).conninfo;
    Start();
  }
  void TearDown() override {
    second_.reset();
    ServerTest::TearDown();
  }
  slipway::config::v1::ControllerConfig Second() {
    slipway::config::v1::ControllerConfig config;
    config.set_state(folder_ / "second");
    config.set_socket(folder_ / "d.sock");
    config.set_metrics_address("off");
    config.mutable_database()->set_postgres(conninfo_);
    config.add_hosts()->set_name("web-1");
    config.mutable_hosts(0)->set_address(absl::StrCat("unix://", (folder_ / "x.sock").string()));
    return config;
  }
  void CopyKeys() {
    for (const char* name : {"key", "tls", "ssh"}) {
      std::filesystem::create_directories(folder_ / "second");
      std::filesystem::copy(folder_ / "state" / name, folder_ / "second" / name,
                            std::filesystem::copy_options::recursive |
                                std::filesystem::copy_options::overwrite_existing);
    }
  }
  void StartSecond() {
    CopyKeys();
    auto server = Server::Start(Second());
    ASSERT_TRUE(server.ok()) << server.status();
    second_ = *std::move(server);
  }
  std::string Address(const char* socket) {
    return absl::StrCat("unix://", (folder_ / socket).string());
  }
  client::Endpoint At(const char* socket) {
    return {Address(socket), slipway::testing::UnixChannel(folder_ / socket), nullptr};
  }
  std::unique_ptr<client::ControllerClient> Client(std::vector<client::Endpoint> endpoints) {
    return std::make_unique<client::ControllerClient>(std::move(endpoints));
  }

  std::unique_ptr<Server> second_;
};

TEST_F(CandidateTest, AControllerWithoutTheOthersKeysDoesNotStartAndMakesNone) {
  EXPECT_EQ(DetailOf(Server::Start(Second()).status()).reason(), "KEYS_MISSING");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "second" / "key"));
  CopyKeys();
  std::filesystem::remove(folder_ / "second" / "key");
  ASSERT_TRUE(SecretBox::Open(folder_ / "second" / "key").ok());
  const absl::Status other = Server::Start(Second()).status();
  EXPECT_EQ(DetailOf(other).reason(), "OTHER_KEYS") << other;
  EXPECT_THAT(std::string(other.message()), HasSubstr(": key"));
}

TEST_F(CandidateTest, TheOneThatStandsByAnswersReadsAndSaysWhoLeads) {
  StartSecond();
  Apply();
  const std::string name = Deploy(MakeRelease("v1"))->deployment().name();
  const auto client = Client({At("d.sock")});
  // Another controller's events wake its watchers too.
  pb::DeploymentState last = pb::DEPLOYMENT_STATE_UNSPECIFIED;
  EXPECT_TRUE(client
                  ->Watch(name, 0, /*attend=*/false,
                          [&last](const pb::Event& event) {
                            if (event.has_state()) last = event.state().state();
                            return true;
                          })
                  .ok());
  EXPECT_EQ(last, pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_TRUE(client->GetDeployment(name).ok());
  EXPECT_TRUE(client->GetApplication("gifty").ok());
  const auto info = client->GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_FALSE(info->leads());
  EXPECT_EQ(info->leader_address(), Address("c.sock"));
  const absl::Status refused = client->Cancel(name).status();
  EXPECT_EQ(DetailOf(refused).reason(), "NOT_LEADER") << refused;
  EXPECT_EQ(DetailOf(refused).subject(), Address("c.sock"));
}

TEST_F(CandidateTest, AClientWithSeveralAddressesFindsTheLeaderAndGoesOnWithTheNext) {
  StartSecond();
  Apply();
  const std::string release = MakeRelease("v1");
  const auto client = Client({At("nobody.sock"), At("d.sock"), At("c.sock")});
  executor_->Hold("health");
  pb::CreateDeploymentRequest request;
  request.set_parent("applications/gifty");
  request.set_release(release);
  request.set_request_id(client::NewRequestId());
  const auto made = client->CreateDeployment(request);
  ASSERT_TRUE(made.ok()) << made.status();
  executor_->AwaitStep("health");
  const uint64_t before = executor_->Host().Lead();
  EXPECT_GT(before, 0u);
  // An orderly end hands the lead over at once, with the deployment in the middle of a step.
  server_.reset();
  executor_->Release();
  const std::string name = made->deployment().name();
  EXPECT_TRUE(client->Watch(name, 0, /*attend=*/true, [](const pb::Event&) { return true; }).ok());
  EXPECT_EQ(client->GetDeployment(name)->state(), pb::DEPLOYMENT_STATE_SUCCEEDED);
  EXPECT_GT(executor_->Host().Lead(), before) << "hosts refuse what the one before may still send";
  EXPECT_EQ(client->CreateDeployment(request)->deployment().name(), name) << "the request is known";
  EXPECT_TRUE(client->GetServerInfo()->leads());
}

}  // namespace
}  // namespace slipway::controller
