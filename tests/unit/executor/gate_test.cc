// The real executor behind its real TLS port: who gets in.
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
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/status.h"
#include "executor/config.h"
#include "executor/credentials.h"
#include "executor/paths.h"
#include "executor/server.h"
#include "tests/support/identities.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/unix_channel.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::executor {
namespace {

using slipway::testing::Identity;

const char* const kHost = "spiffe://slipway/executor/web-1";

class GateTest : public ::testing::Test {
 protected:
  GateTest()
      : authority_(Authority::Make(std::chrono::system_clock::now()).value()),
        credentials_(Paths(folder_.path() / "state").Tls()) {}

  absl::Status Enrol(const Authority& authority, const Principal& principal,
                     std::chrono::seconds life = std::chrono::hours(1)) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string request, credentials_.Request());
    SLIPWAY_ASSIGN_OR_RETURN(
        const std::string pem,
        authority.Sign(request, principal, std::chrono::system_clock::now(), life));
    return credentials_.Install(pem, authority.certificate_pem());
  }
  void Start() {
    ASSERT_TRUE(Enrol(authority_, {pb::ROLE_EXECUTOR, "", "web-1"}).ok());
    port_ = slipway::testing::FreePort();
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / "x.yaml",
                                    absl::StrCat("state: ", (folder_.path() / "state").string(),
                                                 "\nsocket: ", (folder_.path() / "x.sock").string(),
                                                 "\ntls_listen: \"127.0.0.1:", port_,
                                                 "\"\ncompose: [docker-compose]\n"))
                    .ok());
    auto config = LoadConfig(folder_.path() / "x.yaml");
    ASSERT_TRUE(config.ok()) << config.status();
    auto server = Server::Start(*config);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  Identity As(const Principal& principal, std::chrono::seconds life = std::chrono::hours(1)) {
    return Identity(authority_, principal, life);
  }
  absl::Status Inspect(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    xpb::InspectResponse response;
    return FromGrpc(xpb::ExecutorService::NewStub(channel)->Inspect(&context, xpb::InspectRequest(),
                                                                    &response));
  }
  absl::Status Generic(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    const grpc::ByteBuffer sent;
    const grpc::Slice nothing("");
    const grpc::ByteBuffer empty(&nothing, 1);
    grpc::ByteBuffer received;
    std::promise<grpc::Status> done;
    grpc::GenericStub stub(channel);
    stub.UnaryCall(&context, method, grpc::StubOptions(), &empty, &received,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    return FromGrpc(done.get_future().get());
  }

  slipway::testing::TemporaryFolder folder_;
  const Authority authority_;
  Credentials credentials_;
  int port_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(GateTest, OnlyAControllerOfItsOwnAuthorityGetsIn) {
  Start();
  EXPECT_TRUE(Inspect(As({pb::ROLE_CONTROLLER, "", ""}).Dial(port_, kHost)).ok());
  // No certificate, another authority's, one that has ended: the handshake ends.
  const Identity none(authority_.certificate_pem());
  EXPECT_EQ(Inspect(none.Dial(port_, kHost)).code(), absl::StatusCode::kUnavailable);
  Identity stranger(Authority::Make(std::chrono::system_clock::now()).value(),
                    {pb::ROLE_CONTROLLER, "", ""}, std::chrono::hours(1));
  ASSERT_TRUE(WriteFileAtomically(stranger.Files().authority, authority_.certificate_pem()).ok());
  EXPECT_EQ(Inspect(stranger.Dial(port_, kHost)).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Inspect(As({pb::ROLE_CONTROLLER, "", ""}, std::chrono::seconds(-5)).Dial(port_, kHost))
                .code(),
            absl::StatusCode::kUnavailable);
  // A controller does not speak with an executor that is another host's.
  EXPECT_EQ(
      Inspect(As({pb::ROLE_CONTROLLER, "", ""}).Dial(port_, "spiffe://slipway/executor/web-2"))
          .code(),
      absl::StatusCode::kUnavailable);
}

TEST_F(GateTest, MatrixOfEveryRpcAndEveryRole) {
  Start();
  const std::vector<Principal> principals = {{pb::ROLE_CONTROLLER, "", ""},
                                             {pb::ROLE_EXECUTOR, "", "web-2"},
                                             {pb::ROLE_OPERATOR, "", "ann"},
                                             {pb::ROLE_DEPLOYER, "gifty", "ci"},
                                             {pb::ROLE_VIEWER, "", "grafana"}};
  for (const Principal& principal : principals) {
    const Identity identity = As(principal);
    const auto channel = identity.Dial(port_, kHost);
    for (const Rule& rule : AllRules()) {
      if (!absl::StartsWith(rule.method, "/slipway.executor.v1.")) continue;
      pb::Identity who;
      who.set_role(principal.role);
      const absl::Status answer = Generic(channel, std::string(rule.method));
      EXPECT_EQ(DetailOf(answer).reason() != "ROLE_TOO_LOW", Allow(rule, who, "").ok())
          << IdentityUri(principal) << " calls " << rule.method << ": " << answer;
    }
  }
}

TEST_F(GateTest, RevokedControllerIsRefusedOnTheConnectionThatIsOpen) {
  Start();
  const Identity old = As({pb::ROLE_CONTROLLER, "", ""});
  const Identity present = As({pb::ROLE_CONTROLLER, "", ""});
  const auto channel = old.Dial(port_, kHost);
  ASSERT_TRUE(Inspect(channel).ok());
  grpc::ClientContext context;
  xpb::InstallCertificateRequest request;
  request.set_revoked_pem(
      authority_.SignRevocations({old.Serial()}, std::chrono::system_clock::now()).value());
  xpb::InstallCertificateResponse response;
  ASSERT_TRUE(xpb::ExecutorService::NewStub(present.Dial(port_, kHost))
                  ->InstallCertificate(&context, request, &response)
                  .ok());
  EXPECT_EQ(DetailOf(Inspect(channel)).reason(), "CERTIFICATE_REVOKED");
  EXPECT_TRUE(Inspect(present.Dial(port_, kHost)).ok());
  // Kept over a restart.
  server_.reset();
  EXPECT_TRUE(Credentials(credentials_.folder()).IsRevoked(old.Serial()));
}

TEST_F(GateTest, ListOfAnotherAuthorityIsNotBelieved) {
  Start();
  const Identity present = As({pb::ROLE_CONTROLLER, "", ""});
  const auto stranger = Authority::Make(std::chrono::system_clock::now()).value();
  EXPECT_FALSE(
      credentials_
          .Revoke(stranger.SignRevocations({present.Serial()}, std::chrono::system_clock::now())
                      .value())
          .ok());
  EXPECT_TRUE(Inspect(present.Dial(port_, kHost)).ok());
}

TEST_F(GateTest, RenewalIsTakenWithoutARestart) {
  Start();
  const Identity controller = As({pb::ROLE_CONTROLLER, "", ""});
  const auto before = credentials_.Present();
  for (int round = 0; round < 5; ++round) {
    grpc::ClientContext ask;
    xpb::CreateCertificateRequestResponse wanted;
    const auto stub = xpb::ExecutorService::NewStub(controller.Dial(port_, kHost));
    ASSERT_TRUE(
        stub->CreateCertificateRequest(&ask, xpb::CreateCertificateRequestRequest(), &wanted).ok());
    xpb::InstallCertificateRequest install;
    install.set_certificate_pem(authority_
                                    .Sign(wanted.certificate_request(),
                                          {pb::ROLE_EXECUTOR, "", "web-1"},
                                          std::chrono::system_clock::now(), std::chrono::hours(1))
                                    .value());
    install.set_authority_pem(authority_.certificate_pem());
    grpc::ClientContext put;
    xpb::InstallCertificateResponse response;
    ASSERT_TRUE(stub->InstallCertificate(&put, install, &response).ok());
    ASSERT_TRUE(Inspect(controller.Dial(port_, kHost)).ok());
  }
  EXPECT_NE(credentials_.Present()->serial, before->serial);
}

TEST_F(GateTest, BadCertificateLeavesTheGoodOne) {
  ASSERT_TRUE(Enrol(authority_, {pb::ROLE_EXECUTOR, "", "web-1"}).ok());
  const std::string serial = credentials_.Present()->serial;
  const auto stranger = Authority::Make(std::chrono::system_clock::now()).value();
  EXPECT_EQ(DetailOf(Enrol(stranger, {pb::ROLE_EXECUTOR, "", "web-1"})).reason(),
            "OTHER_AUTHORITY");
  EXPECT_FALSE(Enrol(authority_, {pb::ROLE_CONTROLLER, "", ""}).ok());
  // Over another key than the one that was asked for.
  const std::string other_key = MakePrivateKey().value();
  ASSERT_TRUE(credentials_.Request().ok());
  EXPECT_FALSE(credentials_
                   .Install(authority_
                                .Sign(MakeCertificateRequest(other_key).value(),
                                      {pb::ROLE_EXECUTOR, "", "web-1"},
                                      std::chrono::system_clock::now(), std::chrono::hours(1))
                                .value(),
                            authority_.certificate_pem())
                   .ok());
  EXPECT_FALSE(credentials_.Install("garbage", authority_.certificate_pem()).ok());
  EXPECT_EQ(credentials_.Present()->serial, serial);
}

}  // namespace
}  // namespace slipway::executor
