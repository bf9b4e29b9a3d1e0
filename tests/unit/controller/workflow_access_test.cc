// GitHub workflows: whose OIDC token is worth something, and what its bearer may then change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/access/ref_policy.h"
#include "tests/unit/controller/access_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;

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

TEST(RefPattern, StarStandsForAnyTextAndEverythingElseForItself) {
  EXPECT_TRUE(MatchesRef("refs/heads/main", "refs/heads/main"));
  EXPECT_TRUE(MatchesRef("refs/pull/*", "refs/pull/7/merge"));
  EXPECT_TRUE(MatchesRef("*", ""));
  EXPECT_TRUE(MatchesRef("refs/*/release-*-ok", "refs/heads/release-1-of-2-ok"));
  EXPECT_FALSE(MatchesRef("refs/heads/main", "refs/heads/main2"));
  EXPECT_FALSE(MatchesRef("refs/heads/main", "refs/heads/mai"));
  EXPECT_FALSE(MatchesRef("refs/heads/*", "refs/tags/v1"));
  EXPECT_FALSE(MatchesRef("refs/heads/ma.n", "refs/heads/main"));
  EXPECT_FALSE(MatchesRef("", "refs/heads/main"));
  // Would take for ever by trying everything.
  EXPECT_FALSE(MatchesRef("*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
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
  *apply.mutable_spec() = Call(local_, "", &pb::ApplicationService::Stub::GetApplication,
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
  EXPECT_EQ(
      DetailOf(Call(open_, pull, &pb::ApplicationService::Stub::ApplyApplication, apply).status())
          .reason(),
      "REF_CHECK_ONLY");
  apply.set_validate_only(true);
  EXPECT_TRUE(Call(open_, pull, &pb::ApplicationService::Stub::ApplyApplication, apply).ok());
  pb::CreateReleaseRequest release;
  release.set_parent("applications/gifty");
  release.set_manifest_digest(std::string(32, 'x'));
  EXPECT_EQ(DetailOf(Call(open_, pull, &pb::ReleaseService::Stub::CreateRelease, release).status())
                .reason(),
            "REF_CHECK_ONLY");
  pb::ReportCheckRequest check;
  check.set_parent("applications/gifty");
  check.mutable_check()->set_commit("c1");
  check.mutable_check()->set_check("tests");
  check.mutable_check()->set_passed(true);
  EXPECT_EQ(
      DetailOf(Call(open_, pull, &pb::ReleaseService::Stub::ReportCheck, check).status()).reason(),
      "REF_CHECK_ONLY");
}

TEST_F(AccessTest, WhereAnApplicationStandsIsAnOperatorsToSay) {
  AddHost();
  const std::string deployer = Token(pb::ROLE_DEPLOYER, "gifty");
  pb::ApplyApplicationRequest apply;
  const auto try_it = [&](const std::function<void(pb::ApplicationSpec&)>& change) {
    pb::ApplyApplicationRequest request = apply;
    change(*request.mutable_spec());
    return Call(open_, deployer, &pb::ApplicationService::Stub::ApplyApplication, request).status();
  };
  Apply();
  pb::GetApplicationRequest get;
  get.set_name("applications/gifty");
  *apply.mutable_spec() = Call(local_, "", &pb::ApplicationService::Stub::GetApplication, get)
                              .value()
                              .application()
                              .spec();
  EXPECT_TRUE(try_it([](pb::ApplicationSpec&) {}).ok());
  EXPECT_TRUE(try_it([](auto& spec) { spec.mutable_compose()->add_workers("mailer"); }).ok());
  using Change = std::function<void(pb::ApplicationSpec&)>;
  const std::vector<std::pair<std::string, Change>> moves = {
      {"compose.project", [](auto& spec) { spec.mutable_compose()->set_project("vault"); }},
      {"slots", [](auto& spec) { spec.mutable_slots()->set_green(9000); }},
      {"nginx.upstream", [](auto& spec) { spec.mutable_nginx()->set_upstream("vault"); }},
      {"nginx.file", [](auto& spec) { spec.mutable_nginx()->set_file("/etc/nginx/vault.conf"); }},
      {"nginx.marker", [](auto& spec) { spec.mutable_nginx()->set_marker("/srv/vault"); }},
      {"nginx.proof_ports",
       [](auto& spec) {
         spec.mutable_nginx()->add_proof_ports(1);
         spec.mutable_nginx()->add_proof_ports(2);
       }},
  };
  for (const auto& [key, change] : moves) {
    const absl::Status refused = try_it(change);
    EXPECT_EQ(DetailOf(refused).reason(), "PLACEMENT") << key;
    EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr(key + " from "));
    pb::ApplyApplicationRequest request = apply;
    change(*request.mutable_spec());
    EXPECT_TRUE(Call(local_, "", &pb::ApplicationService::Stub::ApplyApplication, request).ok())
        << key;
    EXPECT_TRUE(Call(local_, "", &pb::ApplicationService::Stub::ApplyApplication, apply).ok());
  }
  const std::vector<std::pair<std::string, Change>> rules = {
      {"policy.deploy_from",
       [](auto& spec) { spec.mutable_policy()->add_deploy_from("refs/heads/mine"); }},
      {"policy.check_only", [](auto& spec) { spec.mutable_policy()->add_check_only("refs/x"); }},
      {"policy.required_checks",
       [](auto& spec) { spec.mutable_policy()->add_required_checks("lint"); }},
  };
  for (const auto& [key, change] : rules) {
    EXPECT_THAT(std::string(try_it(change).message()), ::testing::HasSubstr(key + " from nothing"));
  }
  // Nor does a token for an application that nobody has placed yet place it.
  apply.mutable_spec()->set_app("fresh");
  const std::string fresh = Token(pb::ROLE_DEPLOYER, "fresh");
  EXPECT_EQ(
      DetailOf(Call(open_, fresh, &pb::ApplicationService::Stub::ApplyApplication, apply).status())
          .reason(),
      "PLACEMENT");
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
  EXPECT_EQ(
      DetailOf(Call(open_, token, &pb::ReleaseService::Stub::ReportCheck, check).status()).reason(),
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

}  // namespace
}  // namespace slipway::controller
