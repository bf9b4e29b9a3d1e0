// Which application and deployment a command is about, and what is refused before anything is dialled.
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/cli/application_file.h"
#include "clients/cli/session.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway::cli {
namespace {

class SubjectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(file_) << "app: shop\nhosts: [web-1]\ncompose: {slotted: [api]}\n"
                            "slots: {blue: 8000, green: 8001}\nhealth: {http: {path: /health}}\n"
                            "nginx: {upstream: shop_backend}\n";
  }
  std::string Read(const std::string& named, const std::string& app = "") {
    const auto subject = SubjectOf(named, app, file_);
    if (!subject.ok()) return DetailOf(subject.status()).reason();
    return subject->app + " " + subject->deployment;
  }

  const slipway::testing::TemporaryFolder folder_;
  const std::string file_ = folder_.path() / "slipway.yaml";
};

TEST_F(SubjectTest, IsAnApplicationOrADeploymentInEachFormThatIsPrinted) {
  EXPECT_EQ(Read(""), "shop ");
  EXPECT_EQ(Read("gifty"), "gifty ");
  EXPECT_EQ(Read("applications/gifty"), "gifty ");
  EXPECT_EQ(Read("20261122-3f2c1a"), "shop 20261122-3f2c1a");
  EXPECT_EQ(Read("20261122-3f2c1a-2", "gifty"), "gifty 20261122-3f2c1a-2");
  EXPECT_EQ(Read("gifty/20261122-3f2c1a"), "gifty 20261122-3f2c1a");
  EXPECT_EQ(Read("applications/gifty/deployments/20261122-3f2c1a"), "gifty 20261122-3f2c1a");
  EXPECT_EQ(Read("gifty", "gifty"), "gifty ");
  EXPECT_EQ(Read("", "gifty"), "gifty ");
}

TEST_F(SubjectTest, IsRefusedWhenItIsNeither) {
  for (const char* bad : {"Gifty", "gifty/", "gifty/deployments", "gifty/x", "-", "--", "/", "ünï",
                          "20261122", "applications/", "gifty/20261122-3f2c1a/x"}) {
    EXPECT_EQ(Read(bad), "BAD_NAME") << bad;
  }
  EXPECT_EQ(Read("gifty", "shop"), "BAD_NAME");
  EXPECT_EQ(Read("20261122-3f2c1a", "Shop"), "BAD_NAME");
}

TEST_F(SubjectTest, NeedsNoFileWhenTheApplicationIsNamed) {
  EXPECT_EQ(SubjectOf("gifty", "", "/nowhere/slipway.yaml")->app, "gifty");
  EXPECT_EQ(DetailOf(SubjectOf("20261122-3f2c1a", "", "/nowhere/slipway.yaml").status()).reason(),
            "NO_APPLICATION_FILE");
}

class SessionTest : public SubjectTest {
 protected:
  void TearDown() override { unsetenv("SLIPWAY_TOKEN"); }
  std::string Reason() { return DetailOf(session_.Controller().status()).reason(); }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() / name;
    std::ofstream(path) << text;
    return path;
  }

  Session session_;
};

TEST_F(SessionTest, RefusesATokenOfTwoLinesAndTakesOneWithALineEnd) {
  session_.controller = "unix:///nowhere.sock";
  setenv("SLIPWAY_TOKEN", "slipway_a\nslipway_b", 1);
  EXPECT_EQ(Reason(), "BAD_TOKEN_TEXT");
  setenv("SLIPWAY_TOKEN", "slipway_a\r\n", 1);
  EXPECT_TRUE(session_.Controller().ok());
}

TEST_F(SessionTest, SaysThatACertificateWantsItsKeyAndAKeyItsCertificate) {
  session_.controller = "tls://127.0.0.1:1";
  session_.authority = Write("authority.pem", "x");
  session_.certificate = Write("certificate.pem", "x");
  EXPECT_EQ(Reason(), "CERTIFICATE_WITHOUT_KEY");
  session_.key = session_.certificate;
  session_.certificate.clear();
  EXPECT_EQ(Reason(), "KEY_WITHOUT_CERTIFICATE");
}

TEST_F(SessionTest, SaysWhichFileCannotBeReadOrIsNoCertificate) {
  session_.controller = "tls://127.0.0.1:1";
  EXPECT_EQ(Reason(), "NO_AUTHORITY");
  session_.authority = "/nowhere/authority.pem";
  EXPECT_EQ(Reason(), "CANNOT_READ_CREDENTIALS");
  session_.authority = Write("authority.pem", "x");
  session_.certificate = Write("certificate.pem", "x");
  session_.key = Write("key.pem", "x");
  EXPECT_TRUE(absl::IsInvalidArgument(session_.Controller().status()))
      << session_.Controller().status();
}

}  // namespace
}  // namespace slipway::cli
