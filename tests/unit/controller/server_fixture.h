// The real server, in this process, on a unix socket, with a fake executor behind real gRPC; asked through real stubs.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/manifest.h"
#include "controller/server.h"
#include "tests/support/fake_executor.h"
#include "tests/support/file_tree.h"
#include "tests/support/unix_channel.h"

#include "slipway/v1/applications.grpc.pb.h"
#include "slipway/v1/deployments.grpc.pb.h"
#include "slipway/v1/hosts.grpc.pb.h"
#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::controller {

inline constexpr char kSecret[] = "CANARY-7c1d";

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
    config.add_hosts()->set_name("web-1");
    config.mutable_hosts(0)->set_address(absl::StrCat("unix://", (folder_ / "x.sock").string()));
    if (!conninfo_.empty()) config.mutable_database()->set_postgres(conninfo_);
    Configure(config);
    auto server = Server::Start(config);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    auto channel = slipway::testing::UnixChannel(folder_ / "c.sock");
    applications_ = pb::ApplicationService::NewStub(channel);
    releases_ = pb::ReleaseService::NewStub(channel);
    deployments_ = pb::DeploymentService::NewStub(channel);
    hosts_ = pb::HostService::NewStub(channel);
  }

  // What a test wants otherwise.
  virtual void Configure(slipway::config::v1::ControllerConfig&) {}

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
    Specify(spec);
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

  virtual void Specify(pb::ApplicationSpec&) {}

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

  // To the release (its whole name), or without one to the previous.
  absl::StatusOr<pb::RollbackApplicationResponse> RollBack(const std::string& release = "",
                                                           bool validate_only = false) {
    pb::RollbackApplicationRequest request;
    request.set_name("applications/gifty");
    request.set_release(release);
    request.set_validate_only(validate_only);
    return Call<pb::RollbackApplicationResponse>(
        *deployments_, &pb::DeploymentService::Stub::RollbackApplication, request);
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
  // Of a PostgreSQL database; empty for a file in the state folder.
  std::string conninfo_;
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<pb::ApplicationService::Stub> applications_;
  std::unique_ptr<pb::ReleaseService::Stub> releases_;
  std::unique_ptr<pb::DeploymentService::Stub> deployments_;
  std::unique_ptr<pb::HostService::Stub> hosts_;
};

}  // namespace slipway::controller
