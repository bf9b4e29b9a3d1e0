// Who may do what, asked of the real server over its real listeners: every RPC of the proto files by every kind of caller, and
// the attacks on tokens and certificates.
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/transport/dial.h"
#include "common/blob_transfer.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/tls.h"
#include "common/user.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/controller/access_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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
      {"deployer token of gifty", nobody.Dial(port_, kController),
       Token(pb::ROLE_DEPLOYER, "gifty"), pb::ROLE_DEPLOYER, "gifty"},
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
        const bool expected = Allow(rule, identity, rule.reach == Reach::kApp ? app : "").ok();
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
  EXPECT_FALSE(
      may(pb::ROLE_CONTROLLER, "", "/slipway.executor.v1.ExecutorService/RollbackLocally", ""));
  EXPECT_EQ(RuleFor("/slipway.v1.DeploymentService/Nothing"), nullptr);
}

// The default. A token alone opens the port only where the configuration says so.
TEST_F(AccessTest, TheTlsPortAsksForACertificateUnlessToldOtherwise) {
  const std::string token = Token(pb::ROLE_OPERATOR, "");
  const Identity nobody(ServersAuthority().certificate_pem());
  ASSERT_TRUE(Whoami(nobody.Dial(port_, kController), token).ok());
  server_.reset();
  config_.mutable_tls()->clear_allow_clients_without_certificate();
  Start();
  const auto ann = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto refused = Whoami(nobody.Dial(port_, kController), token);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable) << refused.status();
  EXPECT_TRUE(Whoami(ann->Dial(port_, kController)).ok());
  EXPECT_TRUE(Whoami(ann->Dial(port_, kController), token).ok());
  EXPECT_TRUE(Whoami(open_, token).ok());
}

// Who may open the socket is an operator, and the kernel says which; what the client says of itself is marked as that.
TEST_F(AccessTest, TheSocketNamesItsUserAndMarksWhatAClientClaims) {
  const auto name = [&](const std::string& claim) {
    const auto response =
        Call(local_, "", &pb::AccessService::Stub::GetIdentity, pb::GetIdentityRequest(),
             claim.empty() ? std::map<std::string, std::string>()
                           : std::map<std::string, std::string>{{"x-slipway-actor", claim}});
    return response.ok() ? response->identity().name() : response.status().ToString();
  };
  const std::string user = absl::StrCat("user:", UserName());
  EXPECT_EQ(name(""), user);
  EXPECT_EQ(name(UserName()), user);
  EXPECT_EQ(name("certificate:bob"), absl::StrCat(user, ", says certificate:bob"));
  EXPECT_EQ(name("%C3%85dne"), absl::StrCat(user, ", says Ådne"));
}

TEST_F(AccessTest, ReflectionIsForThoseWithAnIdentity) {
  const auto reflect = [](const std::shared_ptr<grpc::Channel>& channel, const std::string& token) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    const auto stream =
        grpc::reflection::v1alpha::ServerReflection::NewStub(channel)->ServerReflectionInfo(
            &context);
    stream->WritesDone();
    return FromGrpc(stream->Finish());
  };
  const Identity nobody(ServersAuthority().certificate_pem());
  EXPECT_EQ(DetailOf(reflect(open_, "")).reason(), "NO_IDENTITY");
  EXPECT_EQ(DetailOf(reflect(nobody.Dial(port_, kController), "")).reason(), "NO_IDENTITY");
  EXPECT_EQ(DetailOf(reflect(open_, "slipway_0000000000000000_" + std::string(43, 'A'))).reason(),
            "BAD_TOKEN");
  EXPECT_TRUE(reflect(open_, Token(pb::ROLE_VIEWER, "gifty")).ok());
  EXPECT_TRUE(reflect(local_, "").ok());
}

// Clients send uploads before anybody has looked at them: who may not upload is told so before the first chunk.
TEST_F(AccessTest, AnUploadWithoutAnIdentityIsRefusedBeforeItsFirstChunk) {
  grpc::ClientContext context;
  pb::UploadBlobsResponse response;
  const auto stream = pb::ReleaseService::NewStub(open_)->UploadBlobs(&context, &response);
  EXPECT_EQ(DetailOf(FromGrpc(stream->Finish())).reason(), "NO_IDENTITY");
}

// Each application has its own share of the disk, whoever asks for it.
TEST_F(AccessTest, UploadsHaveAQuotaPerApplication) {
  server_.reset();
  config_.mutable_uploads()->set_application_bytes_per_day(3000);
  config_.mutable_uploads()->set_file_bytes(2000);
  Start();
  const auto upload = [&](const std::string& token, size_t size, char fill) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    pb::UploadBlobsResponse response;
    const auto stream = pb::ReleaseService::NewStub(open_)->UploadBlobs(&context, &response);
    const std::string bytes(size, fill);
    SendBytes(bytes, Sha256Of(bytes), [&](const auto& chunk) {
      return stream->Write(chunk);
    }).IgnoreError();
    stream->WritesDone();
    return FromGrpc(stream->Finish());
  };
  const std::string gifty = Token(pb::ROLE_DEPLOYER, "gifty");
  EXPECT_TRUE(upload(gifty, 2000, 'a').ok());
  // The same again takes nothing.
  EXPECT_TRUE(upload(gifty, 2000, 'a').ok());
  EXPECT_EQ(DetailOf(upload(gifty, 2001, 'b')).reason(), "UPLOAD_TOO_LARGE");
  EXPECT_EQ(DetailOf(upload(gifty, 1001, 'c')).reason(), "UPLOAD_QUOTA");
  EXPECT_EQ(DetailOf(upload(Token(pb::ROLE_DEPLOYER, "gifty"), 1001, 'c')).reason(),
            "UPLOAD_QUOTA");
  EXPECT_TRUE(upload(gifty, 1000, 'd').ok());
  EXPECT_TRUE(upload(Token(pb::ROLE_DEPLOYER, "other"), 2000, 'e').ok());
  server_.reset();
  config_.mutable_uploads()->set_keep_free_bytes(uint64_t{1} << 60);
  Start();
  EXPECT_EQ(DetailOf(upload(gifty, 10, 'f')).reason(), "DISK_FULL");
}

TEST_F(AccessTest, ViewerSeesTheNamesOfItsOwnApplicationOnly) {
  AddHost();
  Apply();
  Apply([](pb::ApplicationSpec& spec) { spec.set_app("secret"); });
  const auto seen =
      Call(open_, Token(pb::ROLE_VIEWER, "gifty"), &pb::ApplicationService::Stub::ListApplications,
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
       {std::string("x"), hour + "x",
        hour.substr(0, hour.size() - 1) + (hour.back() == 'A' ? "B" : "A"), std::string("slipway_"),
        std::string("slipway_0000000000000000_") + std::string(43, 'A')}) {
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
  ASSERT_TRUE(
      WriteFileAtomically(stranger.Files().authority, ServersAuthority().certificate_pem()).ok());
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
  const auto renewed =
      Call(bot->Dial(port_, kController), "", &pb::AccessService::Stub::RenewCertificate, renew);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(ReadCertificate(renewed->certificate_pem())->principal,
            (Principal{pb::ROLE_DEPLOYER, "gifty", "bot"}));

  request.set_certificate_request("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
  EXPECT_EQ(DetailOf(Call(local_, "", &pb::AccessService::Stub::IssueCertificate, request).status())
                .reason(),
            "BAD_CERTIFICATE_REQUEST");
}

// Whoever stole a certificate may have renewed it before it was noticed.
TEST_F(AccessTest, RevokingACertificateRevokesWhatWasRenewedFromIt) {
  const auto certificate = [&](const std::shared_ptr<grpc::Channel>& by) {
    const std::string key = MakePrivateKey().value();
    pb::RenewCertificateRequest request;
    request.set_certificate_request(MakeCertificateRequest(key).value());
    const auto made = Call(by, "", &pb::AccessService::Stub::RenewCertificate, request);
    EXPECT_TRUE(made.ok()) << made.status();
    return std::make_unique<Identity>(made->authority_pem(), made->certificate_pem(), key);
  };
  const auto revoke = [&](const Identity& which) {
    pb::RevokeCertificateRequest request;
    request.set_name(absl::StrCat("certificates/", which.Serial()));
    return Call(local_, "", &pb::AccessService::Stub::RevokeCertificate, request)->names_size();
  };
  const auto first = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto before = certificate(first->Dial(port_, kController));
  const auto stolen = certificate(before->Dial(port_, kController));
  const auto renewed = certificate(stolen->Dial(port_, kController));
  const auto other = Certificate(pb::ROLE_OPERATOR, "", "ann");
  const auto apart = certificate(other->Dial(port_, kController));
  EXPECT_EQ(revoke(*stolen), 2);
  for (const Identity* gone : {stolen.get(), renewed.get()}) {
    EXPECT_EQ(DetailOf(Whoami(gone->Dial(port_, kController)).status()).reason(),
              "CERTIFICATE_REVOKED");
  }
  for (const Identity* good : {first.get(), before.get(), apart.get()}) {
    EXPECT_TRUE(Whoami(good->Dial(port_, kController)).ok());
  }
  EXPECT_EQ(revoke(*stolen), 0);
  EXPECT_EQ(revoke(*first), 2);
  EXPECT_EQ(DetailOf(Whoami(before->Dial(port_, kController)).status()).reason(),
            "CERTIFICATE_REVOKED");
}

// One watch over the files serves every connection, and looks at them once a second.
TEST_F(AccessTest, WhatIsDialledAfterACertificateWasReplacedShowsTheNewOne) {
  const testing::TemporaryFolder folder;
  DialOptions options;
  options.tls = FilesIn(folder.path());
  options.tls_peer = kController;
  Dialer dialer;
  for (const std::string name : {"ann", "bob", "eve"}) {
    const auto certificate = Certificate(pb::ROLE_OPERATOR, "", name);
    const TlsFiles files = certificate->Files();
    ASSERT_TRUE(PublishCredentials(folder.path(), ReadFile(files.key).value(),
                                   ReadFile(files.certificate).value(),
                                   ReadFile(files.authority).value())
                    .ok());
    for (int i = 0; i < 2; ++i) {
      const auto link =
          dialer.Dial({Scheme::kTls, "", "127.0.0.1", static_cast<uint16_t>(port_), ""}, options);
      ASSERT_TRUE(link.ok()) << link.status();
      const auto who = Whoami((*link)->channel());
      ASSERT_TRUE(who.ok()) << who.status();
      EXPECT_EQ(who->name(), "certificate:" + name);
    }
  }
}

TEST_F(AccessTest, HostsCertificatesAreRevokedTogether) {
  const auto enrol = [&](const std::string& host) {
    pb::CreateEnrolmentRequest invite;
    invite.set_name("hosts/" + host);
    pb::EnrolHostRequest request;
    request.set_secret(
        Call(local_, "", &pb::HostService::Stub::CreateEnrolment, invite).value().secret());
    request.set_certificate_request(MakeCertificateRequest(MakePrivateKey().value()).value());
    const auto made = Call(open_, "", &pb::HostService::Stub::EnrolHost, request);
    return ReadCertificate(made.value().certificate_pem()).value().serial;
  };
  const std::string old = enrol("web-1");
  const std::string present = enrol("web-1");
  enrol("web-2");
  pb::RevokeCertificateRequest request;
  request.set_name("certificates/" + present);
  const auto revoked = Call(local_, "", &pb::AccessService::Stub::RevokeCertificate, request);
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_THAT(revoked->names(),
              ::testing::UnorderedElementsAre("certificates/" + present, "certificates/" + old));
  // What the host is given afterwards is not touched by saying it again.
  enrol("web-1");
  EXPECT_EQ(Call(local_, "", &pb::AccessService::Stub::RevokeCertificate, request)->names_size(),
            0);
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
    command.argv = {"openssl",
                    "s_client",
                    "-connect",
                    absl::StrCat("127.0.0.1:", port_),
                    version,
                    "-CAfile",
                    folder_.path() / "state/tls/authority.pem"};
    command.timeout = std::chrono::seconds(10);
    const auto done = executor::SystemProcessRunner().Run(command);
    return done.ok() ? done->standard_output : done.status().ToString();
  };
  EXPECT_THAT(handshake("-tls1_3"), HasSubstr("TLS_AES"));
  EXPECT_THAT(handshake("-tls1_2"), HasSubstr("Cipher is (NONE)"));
}

}  // namespace
}  // namespace slipway::controller
