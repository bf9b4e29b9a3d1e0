// Who may do what, asked of the real server over its real listeners: every RPC of the proto files by every kind of caller, and
// the attacks on identities.
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
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using nlohmann::json;
using slipway::testing::Identity;
using slipway::testing::TokenIssuer;

const char* const kController = "spiffe://slipway/controller";
const char* const kIssuer = "https://token.actions.githubusercontent.com";
const char* const kAudience = "https://deploy.example.org";

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
  absl::StatusOr<Response> Call(const std::shared_ptr<grpc::Channel>& channel,
                                const std::string& token,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request,
                                const std::map<std::string, std::string>& metadata = {}) {
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
    const std::string path =
        absl::StrCat("/", method.service()->full_name(), "/", method.name());
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
    const auto now =
        std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
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
    SLIPWAY_ASSIGN_OR_RETURN(const pb::GetIdentityResponse response,
                             Call(channel, token, &pb::AccessService::Stub::GetIdentity,
                                  pb::GetIdentityRequest()));
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

bool IsRefusal(const absl::Status& status) {
  const std::string reason = DetailOf(status).reason();
  return reason == "ROLE_TOO_LOW" || reason == "OTHER_APPLICATION" || reason == "NO_IDENTITY" ||
         reason == "BAD_TOKEN" || reason == "CERTIFICATE_REVOKED";
}

// Every RPC x every kind of caller, of one's own application and of another. What is expected is the policy table's verdict on
// the identity alone; what is tested is that each handler asks, and asks about the right application.
TEST_F(AccessTest, PolicyMatrixHoldsForEveryRpcAndEveryCaller) {
  struct Class {
    std::string name;
    std::shared_ptr<grpc::Channel> channel;
    std::string token;
    pb::Role role;
    std::string app;
  };
  const Identity nobody(ServersAuthority().certificate_pem());
  const auto executor = Certificate(pb::ROLE_EXECUTOR, "", "web-1");
  const auto controller = Certificate(pb::ROLE_CONTROLLER, "", "");
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto bot = Certificate(pb::ROLE_DEPLOYER, "gifty", "bot");
  const std::string revoked = Token(pb::ROLE_OPERATOR, "");
  pb::RevokeTokenRequest revoke;
  revoke.set_name(absl::StrCat("tokens/", revoked.substr(8, 16)));
  ASSERT_TRUE(Call(local_, "", &pb::AccessService::Stub::RevokeToken, revoke).ok());
  const std::vector<Class> classes = {
      {"nobody, socket", open_, "", pb::ROLE_UNSPECIFIED, ""},
      {"nobody, tls", nobody.Dial(port_, kController), "", pb::ROLE_UNSPECIFIED, ""},
      {"revoked token", open_, revoked, pb::ROLE_UNSPECIFIED, ""},
      {"viewer token of gifty", open_, Token(pb::ROLE_VIEWER, "gifty"), pb::ROLE_VIEWER, "gifty"},
      {"viewer token", open_, Token(pb::ROLE_VIEWER, ""), pb::ROLE_VIEWER, ""},
      {"deployer token of gifty", nobody.Dial(port_, kController), Token(pb::ROLE_DEPLOYER, "gifty"),
       pb::ROLE_DEPLOYER, "gifty"},
      {"deployer token", open_, Token(pb::ROLE_DEPLOYER, ""), pb::ROLE_DEPLOYER, ""},
      {"deployer certificate of gifty", bot->Dial(port_, kController), "", pb::ROLE_DEPLOYER,
       "gifty"},
      {"operator token", open_, Token(pb::ROLE_OPERATOR, ""), pb::ROLE_OPERATOR, ""},
      {"operator certificate", ann->Dial(port_, kController), "", pb::ROLE_OPERATOR, ""},
      {"operator's socket", local_, "", pb::ROLE_OPERATOR, ""},
      // The narrower of two identities counts.
      {"viewer token on the operator's socket", local_, Token(pb::ROLE_VIEWER, "gifty"),
       pb::ROLE_VIEWER, "gifty"},
      {"executor", executor->Dial(port_, kController), "", pb::ROLE_EXECUTOR, ""},
      {"another controller", controller->Dial(port_, kController), "", pb::ROLE_CONTROLLER, ""}};
  int cells = 0;
  for (const Rule& rule : AllRules()) {
    if (!absl::StartsWith(rule.method, "/slipway.v1.")) continue;
    const std::string full(rule.method.substr(1));
    const size_t slash = full.find('/');
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
        full.substr(0, slash));
    ASSERT_NE(service, nullptr) << full;
    const auto* method = service->FindMethodByName(full.substr(slash + 1));
    ASSERT_NE(method, nullptr) << full;
    for (const Class& one : classes) {
      for (const std::string app : {"gifty", "other"}) {
        pb::Identity identity;
        identity.set_role(one.role);
        identity.set_app(one.app);
        const bool expected =
            Allow(rule, identity, rule.reach == Reach::kApp ? app : "").ok();
        const absl::Status answer = Generic(one.channel, one.token, *method, app);
        EXPECT_EQ(!IsRefusal(answer), expected)
            << one.name << " calls " << rule.method << " of " << app << ": " << answer;
        ++cells;
      }
    }
  }
  EXPECT_GT(cells, 1000);
  RecordProperty("cells", cells);
}

// The table itself, in the words of the documentation.
TEST(AccessPolicy, SaysWhatTheDocumentationSays) {
  const auto may = [](pb::Role role, const std::string& of, const char* method,
                      const std::string& app) {
    pb::Identity identity;
    identity.set_role(role);
    identity.set_app(of);
    return Allow(*RuleFor(method), identity, app).ok();
  };
  const char* const deploy = "/slipway.v1.DeploymentService/CreateDeployment";
  EXPECT_TRUE(may(pb::ROLE_DEPLOYER, "gifty", deploy, "gifty"));
  EXPECT_FALSE(may(pb::ROLE_DEPLOYER, "gifty", deploy, "other"));
  EXPECT_FALSE(may(pb::ROLE_DEPLOYER, "gifty", deploy, ""));
  EXPECT_FALSE(may(pb::ROLE_VIEWER, "gifty", deploy, "gifty"));
  EXPECT_FALSE(may(pb::ROLE_EXECUTOR, "", deploy, "gifty"));
  EXPECT_FALSE(may(pb::ROLE_CONTROLLER, "", deploy, "gifty"));
  EXPECT_FALSE(may(pb::ROLE_UNSPECIFIED, "", deploy, "gifty"));
  EXPECT_TRUE(may(pb::ROLE_OPERATOR, "", deploy, "gifty"));
  for (const char* alone :
       {"/slipway.v1.AccessService/CreateToken", "/slipway.v1.AccessService/IssueCertificate",
        "/slipway.v1.HostService/AddHost", "/slipway.v1.ApplicationService/SetAllowances"}) {
    EXPECT_FALSE(may(pb::ROLE_DEPLOYER, "", alone, "")) << alone;
    EXPECT_TRUE(may(pb::ROLE_OPERATOR, "", alone, "")) << alone;
  }
  const char* const execute = "/slipway.executor.v1.ExecutorService/Execute";
  EXPECT_TRUE(may(pb::ROLE_CONTROLLER, "", execute, ""));
  for (const pb::Role role : {pb::ROLE_VIEWER, pb::ROLE_DEPLOYER, pb::ROLE_OPERATOR,
                              pb::ROLE_EXECUTOR, pb::ROLE_UNSPECIFIED}) {
    EXPECT_FALSE(may(role, "", execute, ""));
  }
  EXPECT_FALSE(may(pb::ROLE_CONTROLLER, "", "/slipway.executor.v1.ExecutorService/RollbackLocally", ""));
  EXPECT_EQ(RuleFor("/slipway.v1.DeploymentService/Nothing"), nullptr);
}

TEST_F(AccessTest, ViewerSeesTheNamesOfItsOwnApplicationOnly) {
  AddHost();
  Apply();
  Apply([](pb::ApplicationSpec& spec) { spec.set_app("secret"); });
  const auto seen = Call(open_, Token(pb::ROLE_VIEWER, "gifty"),
                         &pb::ApplicationService::Stub::ListApplications,
                         pb::ListApplicationsRequest());
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->applications_size(), 1);
  EXPECT_EQ(seen->applications(0).name(), "applications/gifty");
}

TEST_F(AccessTest, TokenSaysWhoItIsAndIsNowhereAtRest) {
  const std::string secret = Token(pb::ROLE_DEPLOYER, "gifty", "refs/heads/main");
  const auto identity = Whoami(open_, secret);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->role(), pb::ROLE_DEPLOYER);
  EXPECT_EQ(identity->app(), "gifty");
  EXPECT_EQ(identity->ref(), "refs/heads/main");
  server_.reset();
  const std::string tail = secret.substr(secret.rfind('_') + 1);
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder_.path() / "state")) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(ReadFile(entry.path()).value(), Not(HasSubstr(tail))) << entry.path();
  }
}

TEST_F(AccessTest, TokenEndsWithItsTimeAndSurvivesARestart) {
  const std::string one_second = Token(pb::ROLE_VIEWER, "", "", 1);
  const std::string hour = Token(pb::ROLE_VIEWER, "");
  server_.reset();
  Start();
  EXPECT_TRUE(Whoami(open_, hour).ok());
  std::this_thread::sleep_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(1100));
  EXPECT_EQ(DetailOf(Whoami(open_, one_second).status()).reason(), "BAD_TOKEN");
  for (const std::string& wrong :
       {std::string("x"), hour + "x", hour.substr(0, hour.size() - 1) + (hour.back() == 'A' ? "B" : "A"),
        std::string("slipway_"), std::string("slipway_0000000000000000_") + std::string(43, 'A')}) {
    EXPECT_EQ(DetailOf(Whoami(open_, wrong).status()).reason(), "BAD_TOKEN") << wrong;
  }
}

TEST_F(AccessTest, SameRequestIdMakesNoSecondToken) {
  pb::CreateTokenRequest request;
  request.set_title("ci");
  request.set_role(pb::ROLE_DEPLOYER);
  request.set_app("gifty");
  request.set_request_id("r1");
  const auto first = Call(local_, "", &pb::AccessService::Stub::CreateToken, request).value();
  const auto second = Call(local_, "", &pb::AccessService::Stub::CreateToken, request).value();
  EXPECT_EQ(first.token().name(), second.token().name());
  EXPECT_FALSE(Whoami(open_, first.secret()).ok());
  EXPECT_TRUE(Whoami(open_, second.secret()).ok());
}

TEST_F(AccessTest, CertificatesOfAnotherAuthorityExpiredOrRevokedAreRefused) {
  const auto stranger_authority = Authority::Make(std::chrono::system_clock::now()).value();
  const Principal ann{pb::ROLE_OPERATOR, "", "ann"};
  // Signed by a stranger, though it believes in the right authority.
  Identity stranger(stranger_authority, ann, std::chrono::hours(1));
  ASSERT_TRUE(WriteFileAtomically(stranger.Files().authority,
                                  ServersAuthority().certificate_pem())
                  .ok());
  EXPECT_EQ(Whoami(stranger.Dial(port_, kController)).status().code(),
            absl::StatusCode::kUnavailable);
  const auto expired = Certificate(pb::ROLE_OPERATOR, "", "ann", std::chrono::seconds(-10));
  EXPECT_EQ(Whoami(expired->Dial(port_, kController)).status().code(),
            absl::StatusCode::kUnavailable);

  const auto good = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto channel = good->Dial(port_, kController);
  const auto identity = Whoami(channel);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->name(), "certificate:ann");
  // On the connection that is open, with the next call.
  pb::RevokeCertificateRequest revoke;
  revoke.set_name(absl::StrCat("certificates/", good->Serial()));
  ASSERT_TRUE(Call(local_, "", &pb::AccessService::Stub::RevokeCertificate, revoke).ok());
  EXPECT_EQ(DetailOf(Whoami(channel).status()).reason(), "CERTIFICATE_REVOKED");
}

TEST_F(AccessTest, CertificateThatEndsWhileConnectedIsRefused) {
  const auto brief = Certificate(pb::ROLE_OPERATOR, "", "ann", std::chrono::seconds(2));
  const auto channel = brief->Dial(port_, kController);
  ASSERT_TRUE(Whoami(channel).ok());
  std::this_thread::sleep_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(3100));
  EXPECT_EQ(DetailOf(Whoami(channel).status()).reason(), "CERTIFICATE_EXPIRED");
}

TEST_F(AccessTest, ClientsRefuseAServerThatIsNotTheController) {
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto wrong = Whoami(ann->Dial(port_, "spiffe://slipway/executor/web-1"));
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kUnavailable);
  const Identity stranger(Authority::Make(std::chrono::system_clock::now())->certificate_pem());
  EXPECT_EQ(Whoami(stranger.Dial(port_, kController)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(AccessTest, CertificatesAreIssuedAndRenewed) {
  pb::IssueCertificateRequest request;
  const std::string key = MakePrivateKey().value();
  request.set_certificate_request(MakeCertificateRequest(key).value());
  request.set_role(pb::ROLE_DEPLOYER);
  request.set_app("gifty");
  request.set_subject("bot");
  const auto issued = Call(local_, "", &pb::AccessService::Stub::IssueCertificate, request);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_TRUE(CheckCredentials(key, issued->certificate_pem(), issued->authority_pem()).ok());
  EXPECT_EQ(ReadCertificate(issued->certificate_pem())->principal,
            (Principal{pb::ROLE_DEPLOYER, "gifty", "bot"}));

  const auto bot = Certificate(pb::ROLE_DEPLOYER, "gifty", "bot");
  pb::RenewCertificateRequest renew;
  renew.set_certificate_request(request.certificate_request());
  const auto renewed = Call(bot->Dial(port_, kController), "",
                            &pb::AccessService::Stub::RenewCertificate, renew);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(ReadCertificate(renewed->certificate_pem())->principal,
            (Principal{pb::ROLE_DEPLOYER, "gifty", "bot"}));

  request.set_certificate_request("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
  EXPECT_EQ(DetailOf(Call(local_, "", &pb::AccessService::Stub::IssueCertificate, request).status())
                .reason(),
            "BAD_CERTIFICATE_REQUEST");
}

TEST_F(AccessTest, WorkflowGetsATokenThatIsBoundToItsRefAndCommit) {
  TrustMain();
  const auto got = Exchange(issuer_.Sign(Claims()));
  ASSERT_TRUE(got.ok()) << got.status();
  const auto identity = Whoami(open_, got->secret());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->role(), pb::ROLE_DEPLOYER);
  EXPECT_EQ(identity->app(), "gifty");
  EXPECT_EQ(identity->ref(), "refs/heads/main");
  EXPECT_EQ(identity->commit(), "c0ffee");
  EXPECT_THAT(identity->origin(), HasSubstr("github:acme/gifty run 99/1"));
  EXPECT_LE(FromProto(identity->expire_time()),
            std::chrono::system_clock::now() + std::chrono::hours(1));
}

TEST_F(AccessTest, TokensOfOtherWorkflowsAreRefused) {
  TrustMain();
  const auto with = [&](const char* claim, json value) {
    json claims = Claims();
    claims[claim] = std::move(value);
    return issuer_.Sign(claims);
  };
  // The same name, another repository.
  EXPECT_EQ(ReasonOf(with("repository_id", "4712")), "NOT_TRUSTED");
  EXPECT_EQ(ReasonOf(with("environment", "staging")), "NOT_TRUSTED");
  EXPECT_EQ(ReasonOf(with("environment", "")), "NOT_TRUSTED");
  // A pull request, from a fork or not.
  EXPECT_EQ(ReasonOf(with("ref", "refs/pull/7/merge")), "NOT_TRUSTED");
  EXPECT_EQ(ReasonOf(with("event_name", "pull_request_target")), "UNTRUSTED_EVENT");
  EXPECT_EQ(ReasonOf(with("aud", "https://other.example.org")), "WRONG_AUDIENCE");
  EXPECT_EQ(ReasonOf(with("aud", json::array({kAudience, "other"}))), "WRONG_AUDIENCE");
  EXPECT_EQ(ReasonOf(with("iss", "https://evil.example.org")), "WRONG_ISSUER");
  const json past = Claims()["iat"].get<int64_t>() - 3600;
  EXPECT_EQ(ReasonOf(with("exp", past)), "TOKEN_EXPIRED");
  EXPECT_EQ(ReasonOf(with("nbf", past.get<int64_t>() + 7200)), "TOKEN_EXPIRED");
  EXPECT_EQ(ReasonOf(with("exp", "soon")), "TOKEN_EXPIRED");
  EXPECT_EQ(ReasonOf(with("repository_id", 4711)), "BAD_CLAIMS");
  EXPECT_EQ(ReasonOf(with("jti", "")), "BAD_CLAIMS");
}

TEST_F(AccessTest, ForgedTokensAreRefused) {
  TrustMain();
  EXPECT_EQ(ReasonOf(TokenIssuer::Unsigned(Claims(), "k1")), "BAD_ALGORITHM");
  EXPECT_EQ(ReasonOf(TokenIssuer::SignHs256(Claims(), "k1", issuer_.PublicKey())), "BAD_ALGORITHM");
  EXPECT_EQ(ReasonOf(issuer_.Sign(Claims(), {{"alg", "rs256"}})), "BAD_ALGORITHM");
  EXPECT_EQ(ReasonOf(TokenIssuer("k1").Sign(Claims())), "BAD_SIGNATURE");
  EXPECT_EQ(ReasonOf(TokenIssuer("k2").Sign(Claims())), "UNKNOWN_KEY");
  std::string changed = issuer_.Sign(Claims());
  changed[changed.find('.') + 20] ^= 1;
  EXPECT_THAT(ReasonOf(changed), ::testing::AnyOf("BAD_SIGNATURE", "BAD_JWT"));
  for (const char* text : {"", "a.b", "a.b.c", "e30.e30.AAAA.AAAA", "e30.e30.", "..."}) {
    EXPECT_THAT(ReasonOf(text), ::testing::AnyOf("BAD_JWT", "BAD_ALGORITHM")) << text;
  }
  EXPECT_EQ(ReasonOf(std::string(100'000, 'A')), "BAD_JWT");
}

TEST_F(AccessTest, WorkflowsTokenIsTakenOnce) {
  TrustMain();
  const std::string jwt = issuer_.Sign(Claims());
  ASSERT_TRUE(Exchange(jwt, "r1").ok());
  // The answer was lost: the same request may ask again, and nobody else.
  EXPECT_TRUE(Exchange(jwt, "r1").ok());
  EXPECT_EQ(DetailOf(Exchange(jwt, "r2").status()).reason(), "TOKEN_REPLAYED");
  EXPECT_EQ(DetailOf(Exchange(jwt).status()).reason(), "TOKEN_REPLAYED");
  server_.reset();
  Start();
  EXPECT_EQ(DetailOf(Exchange(jwt).status()).reason(), "TOKEN_REPLAYED");
}

class RefPolicyTest : public AccessTest {
 protected:
  void SetUp() override {
    AccessTest::SetUp();
    AddHost();
    Apply([](pb::ApplicationSpec& spec) {
      spec.mutable_policy()->add_deploy_from("refs/heads/main");
      spec.mutable_policy()->add_check_only("refs/pull/*");
    });
  }
  // The reason for which a change by this token is refused; empty when it is not.
  std::string Change(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
                     const std::map<std::string, std::string>& said = {}) {
    pb::SetEnvironmentRequest request;
    request.set_name("applications/gifty");
    request.set_env_file("A=1\n");
    return DetailOf(
               Call(channel, token, &pb::ApplicationService::Stub::SetEnvironment, request, said)
                   .status())
        .reason();
  }
};

TEST_F(RefPolicyTest, IsDecidedOnWhatIsVerified) {
  EXPECT_EQ(Change(open_, Token(pb::ROLE_DEPLOYER, "gifty", "refs/heads/main")), "");
  EXPECT_EQ(Change(open_, Token(pb::ROLE_DEPLOYER, "gifty", "refs/heads/dev")), "REF_NOT_ALLOWED");
  EXPECT_EQ(Change(open_, Token(pb::ROLE_DEPLOYER, "gifty", "refs/pull/7/merge")),
            "REF_CHECK_ONLY");
  const std::string free = Token(pb::ROLE_DEPLOYER, "gifty");
  EXPECT_EQ(Change(open_, free), "REF_NOT_KNOWN");
  // Saying so helps nobody but an operator, and neither does an override.
  EXPECT_EQ(Change(open_, free, {{"x-slipway-ref", "refs/heads/main"}}), "REF_NOT_KNOWN");
  EXPECT_EQ(Change(open_, free, {{"x-slipway-override-policy", "yes"}}), "REF_NOT_KNOWN");
  EXPECT_EQ(Change(local_, "", {{"x-slipway-ref", "refs/heads/main"}}), "");
  EXPECT_EQ(Change(local_, "", {{"x-slipway-ref", "refs/heads/dev"}}), "REF_NOT_ALLOWED");
  EXPECT_EQ(Change(local_, ""), "REF_NOT_KNOWN");
  EXPECT_EQ(Change(local_, "", {{"x-slipway-override-policy", "yes"}}), "");
}

TEST_F(RefPolicyTest, CheckOnlyRefMayValidateAndPlanAndNothingElse) {
  const std::string pull = Token(pb::ROLE_DEPLOYER, "gifty", "refs/pull/7/merge");
  pb::ApplyApplicationRequest apply;
  *apply.mutable_spec() =
      Call(local_, "", &pb::ApplicationService::Stub::GetApplication,
           [] {
             pb::GetApplicationRequest request;
             request.set_name("applications/gifty");
             return request;
           }())
          .value()
          .application()
          .spec();
  // A pull request cannot widen the policy that it is judged by.
  apply.mutable_spec()->mutable_policy()->clear_check_only();
  apply.mutable_spec()->mutable_policy()->add_deploy_from("refs/pull/*");
  EXPECT_EQ(DetailOf(Call(open_, pull, &pb::ApplicationService::Stub::ApplyApplication, apply)
                         .status())
                .reason(),
            "REF_CHECK_ONLY");
  apply.set_validate_only(true);
  EXPECT_TRUE(Call(open_, pull, &pb::ApplicationService::Stub::ApplyApplication, apply).ok());
  pb::CreateReleaseRequest release;
  release.set_parent("applications/gifty");
  release.set_manifest_digest(std::string(32, 'x'));
  EXPECT_EQ(
      DetailOf(Call(open_, pull, &pb::ReleaseService::Stub::CreateRelease, release).status())
          .reason(),
      "REF_CHECK_ONLY");
  pb::ReportCheckRequest check;
  check.set_parent("applications/gifty");
  check.mutable_check()->set_commit("c1");
  check.mutable_check()->set_check("tests");
  check.mutable_check()->set_passed(true);
  EXPECT_EQ(DetailOf(Call(open_, pull, &pb::ReleaseService::Stub::ReportCheck, check).status())
                .reason(),
            "REF_CHECK_ONLY");
}

TEST_F(RefPolicyTest, WorkflowMayNotClaimAnotherCommit) {
  TrustMain();
  const std::string token = Exchange(issuer_.Sign(Claims())).value().secret();
  pb::ReportCheckRequest check;
  check.set_parent("applications/gifty");
  check.mutable_check()->set_check("tests");
  check.mutable_check()->set_passed(true);
  check.mutable_check()->set_commit("c0ffee");
  EXPECT_TRUE(Call(open_, token, &pb::ReleaseService::Stub::ReportCheck, check).ok());
  check.mutable_check()->set_commit("decaf");
  EXPECT_EQ(DetailOf(Call(open_, token, &pb::ReleaseService::Stub::ReportCheck, check).status())
                .reason(),
            "COMMIT_NOT_VERIFIED");
}

TEST_F(AccessTest, HistorySaysWhoAndWhereFrom) {
  TrustMain();
  AddHost();
  Apply();
  const std::string token = Exchange(issuer_.Sign(Claims())).value().secret();
  pb::SetEnvironmentRequest set;
  set.set_name("applications/gifty");
  set.set_env_file("A=1\n");
  ASSERT_TRUE(Call(open_, token, &pb::ApplicationService::Stub::SetEnvironment, set).ok());
  pb::ListHistoryRequest request;
  request.set_parent("applications/gifty");
  request.set_page_size(1);
  const auto rows = Call(local_, "", &pb::DeploymentService::Stub::ListHistory, request);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->entries(0).actor(), "token:github:ann");
  EXPECT_EQ(rows->entries(0).action(), "env set");
  EXPECT_EQ(rows->entries(0).origin(), "github:acme/gifty run 99/1 refs/heads/main c0ffee");
  const auto verified =
      Call(local_, "", &pb::DeploymentService::Stub::VerifyHistory, pb::VerifyHistoryRequest());
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_TRUE(verified->problems().empty()) << verified->DebugString();
}

TEST_F(AccessTest, InvitationMakesOneExecutorKnownOnce) {
  pb::CreateEnrolmentRequest invite;
  invite.set_name("hosts/web-1");
  const auto made = Call(local_, "", &pb::HostService::Stub::CreateEnrolment, invite);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_LE(FromProto(made->expire_time()),
            std::chrono::system_clock::now() + std::chrono::minutes(15));
  pb::EnrolHostRequest enrol;
  enrol.set_secret(made->secret());
  enrol.set_certificate_request(MakeCertificateRequest(MakePrivateKey().value()).value());
  const auto enrolled = Call(open_, "", &pb::HostService::Stub::EnrolHost, enrol);
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(ReadCertificate(enrolled->certificate_pem())->principal,
            (Principal{pb::ROLE_EXECUTOR, "", "web-1"}));
  EXPECT_EQ(DetailOf(Call(open_, "", &pb::HostService::Stub::EnrolHost, enrol).status()).reason(),
            "BAD_ENROLMENT");
}

TEST_F(AccessTest, TlsOlderThan13IsRefused) {
  const auto handshake = [&](const char* version) {
    executor::Command command;
    command.argv = {"openssl", "s_client", "-connect", absl::StrCat("127.0.0.1:", port_), version,
                    "-CAfile", folder_.path() / "state/tls/authority.pem"};
    command.timeout = std::chrono::seconds(10);
    const auto done = executor::SystemProcessRunner().Run(command);
    return done.ok() ? done->standard_output : done.status().ToString();
  };
  EXPECT_THAT(handshake("-tls1_3"), HasSubstr("TLS_AES"));
  EXPECT_THAT(handshake("-tls1_2"), HasSubstr("Cipher is (NONE)"));
}

}  // namespace
}  // namespace slipway::controller
