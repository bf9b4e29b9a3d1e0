#include "common/names.h"

#include <gtest/gtest.h>

#include "common/status.h"

namespace slipway {
namespace {

// What must never get into a path, a label or an nginx file, whichever name it comes as.
const std::string kHostile[] = {
    "",     ".",     "..",  "../etc", "a/b",  "/",   "a b",      "a\n",
    "a;b",  "$(id)", "-rf", "--help", "a\"b", "a'b", "\xC3\xA4", std::string("a\0b", 3),
    "a\\b", "a{b}",  "a:b", "%2e%2e"};

TEST(Names, RefuseWhatCouldLeaveAPathOrBecomeAnOption) {
  for (const std::string& name : kHostile) {
    EXPECT_FALSE(IsApplicationName(name)) << name;
    EXPECT_FALSE(IsHostName(name)) << name;
    EXPECT_FALSE(IsServiceName(name)) << name;
    EXPECT_FALSE(IsReleaseId(name)) << name;
    EXPECT_FALSE(IsDeploymentId(name)) << name;
    EXPECT_FALSE(IsVariableName(name)) << name;
  }
}

TEST(Names, OfApplicationsAreLowerCaseAndAtMost40Long) {
  EXPECT_TRUE(IsApplicationName("gifty"));
  EXPECT_TRUE(IsApplicationName("a"));
  EXPECT_TRUE(IsApplicationName("a-1-b"));
  EXPECT_TRUE(IsApplicationName(std::string(40, 'a')));
  EXPECT_FALSE(IsApplicationName(std::string(41, 'a')));
  EXPECT_FALSE(IsApplicationName("Gifty"));
  EXPECT_FALSE(IsApplicationName("1a"));
  EXPECT_FALSE(IsApplicationName("a_b"));
  EXPECT_FALSE(IsApplicationName("a.b"));
}

TEST(Names, OfHostsAndServicesHaveTheirOwnLetters) {
  EXPECT_TRUE(IsHostName("web-1.example.org"));
  EXPECT_TRUE(IsHostName("1"));
  EXPECT_FALSE(IsHostName("web_1"));
  EXPECT_FALSE(IsHostName("Web"));
  EXPECT_FALSE(IsHostName(std::string(64, 'a')));
  EXPECT_TRUE(IsServiceName("Telegram_bot.v2-x"));
  EXPECT_TRUE(IsServiceName(std::string(63, 'a')));
  EXPECT_FALSE(IsServiceName(std::string(64, 'a')));
  EXPECT_FALSE(IsServiceName("_x"));
}

TEST(Names, OfReleasesAreTwelveHexadecimalDigits) {
  EXPECT_TRUE(IsReleaseId("0123456789ab"));
  EXPECT_FALSE(IsReleaseId("0123456789aB"));
  EXPECT_FALSE(IsReleaseId("0123456789a"));
  EXPECT_FALSE(IsReleaseId("0123456789abc"));
  EXPECT_FALSE(IsReleaseId("0123456789ag"));
}

TEST(Names, OfDeploymentsAreADateSixDigitsAndPerhapsANumber) {
  EXPECT_TRUE(IsDeploymentId("20261122-3f2c1a"));
  EXPECT_TRUE(IsDeploymentId("20261122-3f2c1a-2"));
  EXPECT_FALSE(IsDeploymentId("20261122-3f2c1a-"));
  EXPECT_FALSE(IsDeploymentId("20261122-3f2c1a-0"));
  EXPECT_FALSE(IsDeploymentId("20261122-3f2c1a-02"));
  EXPECT_FALSE(IsDeploymentId("20261122-3f2c1a-2-2"));
  EXPECT_FALSE(IsDeploymentId("2026112-3f2c1a"));
  EXPECT_FALSE(IsDeploymentId("20261122-3f2c1G"));
  EXPECT_FALSE(IsDeploymentId("20261122"));
}

TEST(Names, OfCommitsMayBeEmptyButNoOption) {
  EXPECT_TRUE(IsCommitName(""));
  EXPECT_TRUE(IsCommitName("v1.2_3-rc"));
  EXPECT_TRUE(IsCommitName(std::string(64, 'f')));
  EXPECT_FALSE(IsCommitName(std::string(65, 'f')));
  EXPECT_FALSE(IsCommitName("-x"));
  EXPECT_FALSE(IsCommitName("feature/x"));
  EXPECT_FALSE(IsCommitName("a b"));
}

TEST(Names, OfVariablesAreAsTheShellHasThem) {
  EXPECT_TRUE(IsVariableName("_A1"));
  EXPECT_TRUE(IsVariableName("path"));
  EXPECT_FALSE(IsVariableName("1A"));
  EXPECT_FALSE(IsVariableName("A-B"));
  EXPECT_FALSE(IsVariableName("A="));
}

TEST(Names, OfResourcesAreReadAsTheyAreWritten) {
  EXPECT_EQ(*ParseApplicationName(ApplicationName("gifty")), "gifty");
  EXPECT_EQ(*ParseHostName(HostName("web-1")), "web-1");
  const auto release = ParseReleaseName(ReleaseName("gifty", "0123456789ab"));
  ASSERT_TRUE(release.ok());
  EXPECT_EQ(release->app, "gifty");
  EXPECT_EQ(release->release, "0123456789ab");
  const auto deployment = ParseDeploymentName(DeploymentName("gifty", "20261122-3f2c1a"));
  ASSERT_TRUE(deployment.ok());
  EXPECT_EQ(deployment->app, "gifty");
  EXPECT_EQ(deployment->deployment, "20261122-3f2c1a");
}

TEST(Names, OfTheNewestDeploymentIsADash) {
  const auto newest = ParseDeploymentName("applications/gifty/deployments/-");
  ASSERT_TRUE(newest.ok());
  EXPECT_EQ(newest->deployment, "-");
}

TEST(Names, OfAnotherFormAreAnsweredWithTheRightForm) {
  for (const char* wrong :
       {"gifty", "applications/", "applications/gifty/", "/applications/gifty", "apps/gifty",
        "applications/gifty/releases", "applications/../deployments/x", ""}) {
    for (const absl::Status& status :
         {ParseApplicationName(wrong).status(), ParseHostName(wrong).status(),
          ParseReleaseName(wrong).status(), ParseDeploymentName(wrong).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
      EXPECT_EQ(DetailOf(status).reason(), "BAD_NAME") << wrong;
    }
  }
  EXPECT_NE(ParseReleaseName("x").status().message().find("applications/APP/releases/ID"),
            std::string::npos);
}

}  // namespace
}  // namespace slipway
