// The real listener, asked by a real HTTP client.
#include "controller/metrics_http.h"

#include <chrono>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway::controller {
namespace {

using std::filesystem::perms;
using ::testing::ElementsAre;

class MetricsHttpTest : public ::testing::Test {
 protected:
  absl::Status Start(const std::string& address, bool with_token) {
    MetricsHttpOptions options;
    options.address = address;
    if (with_token) options.token_file = token_file_;
    options.page = [] { return std::string("slipway_x 1\n"); };
    options.refused = [this](const std::string& reason) { refused_.push_back(reason); };
    auto started = MetricsHttp::Start(options);
    if (!started.ok()) return started.status();
    http_ = *std::move(started);
    return absl::OkStatus();
  }
  void WriteToken(const std::string& text, mode_t mode = 0600) {
    ASSERT_TRUE(WriteFileAtomically(token_file_, text, mode).ok());
  }
  // The status of the page, and its text when that is 200.
  std::pair<int, std::string> Get(const std::string& authorization) {
    httplib::Client client("127.0.0.1", http_->Port());
    httplib::Headers headers;
    if (!authorization.empty()) headers.emplace("Authorization", authorization);
    const auto answer = client.Get("/metrics", headers);
    if (!answer) return {0, ""};
    return {answer->status, answer->body};
  }

  slipway::testing::TemporaryFolder folder_;
  const std::filesystem::path token_file_ = folder_.path() / "token";
  std::vector<std::string> refused_;
  std::unique_ptr<MetricsHttp> http_;
};

TEST_F(MetricsHttpTest, AnswersWhoeverReachesItWithoutATokenFile) {
  ASSERT_TRUE(Start("127.0.0.1:0", false).ok());
  EXPECT_EQ(Get(""), std::make_pair(200, std::string("slipway_x 1\n")));
}

TEST_F(MetricsHttpTest, AsksForTheToken) {
  WriteToken("right\n");
  ASSERT_TRUE(Start("127.0.0.1:0", true).ok());
  EXPECT_EQ(Get("Bearer right"), std::make_pair(200, std::string("slipway_x 1\n")));
  for (const char* wrong : {"", "right", "Bearer", "Bearer ", "Bearer wrong", "Bearer right2",
                            "bearer right", "Basic cmlnaHQ="}) {
    EXPECT_EQ(Get(wrong), std::make_pair(401, std::string())) << wrong;
  }
  EXPECT_EQ(refused_.size(), 8u);
  httplib::Client client("127.0.0.1", http_->Port());
  EXPECT_EQ(client.Get("/healthz")->status, 200);
}

TEST_F(MetricsHttpTest, TakesANewTokenWithoutARestart) {
  WriteToken("old");
  ASSERT_TRUE(Start("127.0.0.1:0", true).ok());
  WriteToken("new");
  EXPECT_EQ(Get("Bearer old").first, 401);
  EXPECT_EQ(Get("Bearer new").first, 200);
}

TEST_F(MetricsHttpTest, LetsNobodyInWhenTheTokenFileIsBad) {
  WriteToken("right");
  ASSERT_TRUE(Start("127.0.0.1:0", true).ok());
  WriteToken("right", 0640);
  EXPECT_EQ(Get("Bearer right").first, 401);
  WriteToken(" \n");
  EXPECT_EQ(Get("Bearer ").first, 401);
  std::filesystem::remove(token_file_);
  EXPECT_EQ(Get("Bearer right").first, 401);
  EXPECT_THAT(refused_, ElementsAre("BAD_TOKEN_FILE", "BAD_TOKEN_FILE", "BAD_TOKEN_FILE"));
}

TEST_F(MetricsHttpTest, DoesNotStartWithABadTokenFile) {
  EXPECT_EQ(DetailOf(Start("127.0.0.1:0", true)).reason(), "BAD_TOKEN_FILE");
  WriteToken("right", 0644);
  EXPECT_EQ(DetailOf(Start("127.0.0.1:0", true)).reason(), "BAD_TOKEN_FILE");
}

TEST_F(MetricsHttpTest, ServesAUnixSocketThatItsUserAndGroupMayOpen) {
  const std::string socket = folder_.path() / "run" / "metrics.sock";
  // Twice: the socket that is left behind is in nobody's way.
  for (int i = 0; i < 2; ++i) {
    http_.reset();
    ASSERT_TRUE(Start("unix://" + socket, false).ok());
    EXPECT_EQ(http_->Port(), 0);
    httplib::Client client(socket, 1);
    client.set_address_family(AF_UNIX);
    EXPECT_EQ(client.Get("/metrics")->body, "slipway_x 1\n");
    const perms mode = std::filesystem::status(socket).permissions();
    EXPECT_EQ(static_cast<unsigned>(mode), 0660u);
  }
  MetricsHttpOptions second;
  second.address = "unix://" + socket;
  EXPECT_EQ(DetailOf(MetricsHttp::Start(second).status()).reason(), "SOCKET_IN_USE");
}

TEST_F(MetricsHttpTest, RefusesWhatIsNoAddressAndOneThatIsTaken) {
  EXPECT_EQ(DetailOf(Start("nonsense", false)).reason(), "BAD_ADDRESS");
  ASSERT_TRUE(Start("127.0.0.1:0", false).ok());
  MetricsHttpOptions second;
  second.address = absl::StrCat("127.0.0.1:", http_->Port());
  EXPECT_EQ(DetailOf(MetricsHttp::Start(second).status()).reason(), "CANNOT_LISTEN");
}

// Who writes half a request and no more.
TEST_F(MetricsHttpTest, SlowClientsKeepTheScraperWaitingForSecondsAtMost) {
  ASSERT_TRUE(Start("127.0.0.1:0", false).ok());
  std::vector<UniqueFd> crowd;
  const auto crowd_of = [&](int count) {
    for (int i = 0; i < count; ++i) {
      UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(http_->Port()));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
      ASSERT_EQ(send(fd.get(), "GET /metr", 9, MSG_NOSIGNAL), 9);
      crowd.push_back(std::move(fd));
    }
  };
  crowd_of(8);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Get("").first, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  crowd_of(16);
  EXPECT_EQ(Get("").first, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
}

}  // namespace
}  // namespace slipway::controller
