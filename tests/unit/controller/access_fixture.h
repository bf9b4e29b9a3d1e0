// The real server behind its real listeners, and every kind of caller.
#pragma once

#include <fstream>
#include <functional>
#include <future>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/access_policy.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/status.h"
#include "controller/server.h"
#include "executor/process/process_runner.h"
#include "tests/support/identities.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/unix_channel.h"

#include "slipway/v1/access.grpc.pb.h"
#include "slipway/v1/applications.grpc.pb.h"
#include "slipway/v1/deployments.grpc.pb.h"
#include "slipway/v1/hosts.grpc.pb.h"
#include "slipway/v1/releases.grpc.pb.h"

namespace slipway::controller {

using nlohmann::json;
using slipway::testing::Identity;
using slipway::testing::TokenIssuer;

inline const char* const kController = "spiffe://slipway/controller";
inline const char* const kIssuer = "https://token.actions.githubusercontent.com";
inline const char* const kAudience = "https://deploy.example.org";

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() : issuer_("k1") {}

  void SetUp() override {
    std::ofstream(folder_.path() / "jwks.json") << issuer_.Jwks();
    port_ = slipway::testing::FreePort();
    config_.set_state(folder_.path() / "state");
    config_.set_socket(folder_.path() / "c.sock");
    config_.set_token_socket(folder_.path() / "t.sock");
    config_.set_metrics_address("off");
    config_.mutable_tls()->set_listen(absl::StrCat("127.0.0.1:", port_));
    config_.mutable_tls()->set_allow_clients_without_certificate(true);
    config_.mutable_github()->set_audience(kAudience);
    config_.mutable_github()->set_keys_file(folder_.path() / "jwks.json");
    Start();
  }
  void Start() {
    auto server = Server::Start(config_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    local_ = slipway::testing::UnixChannel(folder_.path() / "c.sock");
    open_ = slipway::testing::UnixChannel(folder_.path() / "t.sock");
  }

  Authority ServersAuthority() {
    const auto folder = folder_.path() / "state" / "tls";
    return Authority::Read(ReadFile(folder / "authority.key").value(),
                           ReadFile(folder / "authority.pem").value())
        .value();
  }
  std::unique_ptr<Identity> Certificate(pb::Role role, const std::string& app,
                                        const std::string& subject,
                                        std::chrono::seconds life = std::chrono::hours(1)) {
    return std::make_unique<Identity>(ServersAuthority(), Principal{role, app, subject}, life);
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(
      const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, const std::map<std::string, std::string>& metadata = {}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    Response response;
    Stub stub(channel);
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  std::string Token(pb::Role role, const std::string& app, const std::string& ref = "",
                    int seconds = 3600) {
    pb::CreateTokenRequest request;
    request.set_title("test");
    request.set_role(role);
    request.set_app(app);
    request.set_ref(ref);
    request.mutable_lifetime()->set_seconds(seconds);
    return Call(local_, "", &pb::AccessService::Stub::CreateToken, request).value().secret();
  }

  // One call of any method with a request that names the application.
  absl::Status Generic(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
                       const google::protobuf::MethodDescriptor& method, const std::string& app) {
    const std::string path = absl::StrCat("/", method.service()->full_name(), "/", method.name());
    google::protobuf::DynamicMessageFactory factory;
    const std::unique_ptr<google::protobuf::Message> request(
        factory.GetPrototype(method.input_type())->New());
    const Rule* rule = RuleFor(path);
    EXPECT_NE(rule, nullptr) << path;
    if (rule->reach == Reach::kApp) SetApp(*request, rule->app_field, app);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    const std::string bytes = request->SerializeAsString();
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer sent(&slice, 1);
    grpc::ByteBuffer received;
    std::promise<grpc::Status> done;
    grpc::GenericStub stub(channel);
    stub.UnaryCall(&context, path, grpc::StubOptions(), &sent, &received,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    return FromGrpc(done.get_future().get());
  }
  static void SetApp(google::protobuf::Message& message, absl::string_view field,
                     const std::string& app) {
    const size_t dot = field.find('.');
    const auto* descriptor =
        message.GetDescriptor()->FindFieldByName(std::string(field.substr(0, dot)));
    if (dot != absl::string_view::npos) {
      SetApp(*message.GetReflection()->MutableMessage(&message, descriptor), field.substr(dot + 1),
             app);
      return;
    }
    const bool plain = field == "app";
    message.GetReflection()->SetString(&message, descriptor,
                                       plain ? app : absl::StrCat("applications/", app));
  }

  void Apply(const std::function<void(pb::ApplicationSpec&)>& change = {}) {
    pb::ApplyApplicationRequest request;
    pb::ApplicationSpec& spec = *request.mutable_spec();
    spec.set_app("gifty");
    spec.add_hosts("web-1");
    spec.mutable_compose()->add_slotted("api");
    spec.mutable_slots()->set_blue(8000);
    spec.mutable_slots()->set_green(8001);
    spec.mutable_health()->mutable_http()->set_path("/health");
    spec.mutable_nginx()->set_upstream("gifty_backend");
    if (change) change(spec);
    const auto applied = Call(local_, "", &pb::ApplicationService::Stub::ApplyApplication, request,
                              {{"x-slipway-override-policy", "yes"}});
    ASSERT_TRUE(applied.ok()) << applied.status();
  }
  void AddHost() {
    pb::AddHostRequest request;
    request.mutable_host()->set_name("hosts/web-1");
    request.mutable_host()->set_address("unix:///nowhere.sock");
    ASSERT_TRUE(Call(local_, "", &pb::HostService::Stub::AddHost, request).ok());
  }

  json Claims() {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    return {{"iss", kIssuer},
            {"aud", kAudience},
            {"sub", "repo:acme/gifty:environment:production"},
            {"jti", absl::StrCat("id-", count_++)},
            {"repository", "acme/gifty"},
            {"repository_id", "4711"},
            {"ref", "refs/heads/main"},
            {"environment", "production"},
            {"sha", "c0ffee"},
            {"event_name", "push"},
            {"actor", "ann"},
            {"run_id", "99"},
            {"run_attempt", "1"},
            {"iat", now},
            {"nbf", now - 5},
            {"exp", now + 300}};
  }
  void TrustMain() {
    pb::CreateTrustRequest request;
    pb::Trust& trust = *request.mutable_trust();
    trust.set_role(pb::ROLE_DEPLOYER);
    trust.set_app("gifty");
    trust.set_repository_id(4711);
    trust.set_ref("refs/heads/main");
    trust.set_environment("production");
    const auto made = Call(local_, "", &pb::AccessService::Stub::CreateTrust, request);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  absl::StatusOr<pb::ExchangeTokenResponse> Exchange(const std::string& jwt,
                                                     const std::string& request_id = "") {
    pb::ExchangeTokenRequest request;
    request.set_github_token(jwt);
    request.set_application("applications/gifty");
    request.set_request_id(request_id);
    return Call(open_, "", &pb::AccessService::Stub::ExchangeToken, request);
  }
  std::string ReasonOf(const std::string& jwt) { return DetailOf(Exchange(jwt).status()).reason(); }

  absl::StatusOr<pb::Identity> Whoami(const std::shared_ptr<grpc::Channel>& channel,
                                      const std::string& token = "") {
    SLIPWAY_ASSIGN_OR_RETURN(
        const pb::GetIdentityResponse response,
        Call(channel, token, &pb::AccessService::Stub::GetIdentity, pb::GetIdentityRequest()));
    return response.identity();
  }

  slipway::testing::TemporaryFolder folder_;
  TokenIssuer issuer_;
  slipway::config::v1::ControllerConfig config_;
  int port_ = 0;
  int count_ = 0;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> local_;
  std::shared_ptr<grpc::Channel> open_;
};

}  // namespace slipway::controller
