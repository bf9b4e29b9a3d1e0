#include "executor/drivers/nginx_diagnose.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "executor/failure.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kOurs[] = "/etc/nginx/conf.d/gifty.conf";

TEST(NginxDiagnose, NamesTheForeignFileAndLine) {
  const absl::Status status = ExplainTestFailure(
      "nginx: [warn] something\nnginx: [emerg] unknown directive \"x\" in "
      "/etc/nginx/sites-enabled/blog:12\n"
      "nginx: configuration file /etc/nginx/nginx.conf test failed\n",
      kOurs, "gifty_backend");
  EXPECT_EQ(ReasonOf(status), pb::FAILURE_REASON_FOREIGN_NGINX_FILE);
  EXPECT_EQ(DetailOf(status).subject(), "/etc/nginx/sites-enabled/blog:12");
  EXPECT_THAT(DetailOf(status).cure(), HasSubstr("/etc/nginx/sites-enabled/blog"));
}

TEST(NginxDiagnose, TellsOurFileFromOthers) {
  EXPECT_EQ(ReasonOf(ExplainTestFailure("nginx: [emerg] bad in /etc/nginx/conf.d/gifty.conf:3\n",
                                        kOurs, "gifty_backend")),
            pb::FAILURE_REASON_NGINX_TEST);
  EXPECT_EQ(ReasonOf(ExplainTestFailure("sudo: a password is required\n", kOurs, "gifty_backend")),
            pb::FAILURE_REASON_PREFLIGHT);
  EXPECT_EQ(ReasonOf(ExplainTestFailure("nginx: [emerg] bind() to 0.0.0.0:80 failed\n", kOurs,
                                        "gifty_backend")),
            pb::FAILURE_REASON_PREFLIGHT);
}

TEST(NginxDiagnose, ExplainsAnUpstreamThatIsIncludedTwice) {
  const absl::Status status = ExplainTestFailure(
      "nginx: [emerg] duplicate upstream \"gifty_backend\" in /etc/nginx/conf.d/gifty.conf:3\n",
      kOurs, "gifty_backend");
  EXPECT_EQ(ReasonOf(status), pb::FAILURE_REASON_PREFLIGHT);
  EXPECT_THAT(DetailOf(status).cure(), HasSubstr("include /etc/nginx/conf.d/gifty.conf;"));
}

TEST(NginxDiagnose, KnowsAFileThatIsOnlyNotThereYet) {
  EXPECT_TRUE(
      ComplainsOfMissingFile("nginx: [emerg] open() \"/etc/nginx/conf.d/gifty.conf\" failed (2: No "
                             "such file or directory) in /etc/x:1\n",
                             kOurs, "gifty_backend"));
  EXPECT_TRUE(ComplainsOfMissingFile(
      "nginx: [emerg] host not found in upstream \"gifty_backend\" in /etc/x:5\n", kOurs,
      "gifty_backend"));
  EXPECT_FALSE(ComplainsOfMissingFile(
      "nginx: [emerg] host not found in upstream \"other\" in /etc/x:5\n", kOurs, "gifty_backend"));
  EXPECT_FALSE(ComplainsOfMissingFile("", kOurs, "gifty_backend"));
}

TEST(NginxDiagnose, SeesWhetherTheFileIsIncludedAndUsed) {
  const std::string dump =
      "# configuration file /etc/nginx/nginx.conf:\nhttp { }\n# configuration file "
      "/etc/nginx/conf.d/gifty.conf:\n"
      "upstream gifty_backend { server 127.0.0.1:1; }\n# configuration file "
      "/etc/nginx/sites-enabled/a:\n"
      "server { # proxy_pass http://commented;\n location / { proxy_pass http://gifty_backend; } "
      "}\n";
  EXPECT_TRUE(ParseConfigDump(dump, kOurs, "gifty_backend", false).included);
  EXPECT_TRUE(ParseConfigDump(dump, kOurs, "gifty_backend", false).passed_to);
  EXPECT_FALSE(ParseConfigDump(dump, kOurs, "gifty_backend", true).passed_to);
  EXPECT_FALSE(ParseConfigDump(dump, kOurs, "gifty", false).passed_to);
  EXPECT_FALSE(ParseConfigDump(dump, kOurs, "commented", false).passed_to);
  EXPECT_FALSE(
      ParseConfigDump(dump, "/etc/nginx/conf.d/other.conf", "gifty_backend", false).included);
  EXPECT_TRUE(ParseConfigDump("proxy_pass https://x_$slot/a;", kOurs, "x", true).passed_to);
  EXPECT_TRUE(ParseConfigDump("open_file_cache max=10;", kOurs, "x", true).caches_files);
}

TEST(NginxDiagnose, ReadsTheErrorLogFromWhereItWas) {
  const slipway::testing::TemporaryFolder folder;
  const auto path = folder.path() / "error.log";
  EXPECT_THAT(ErrorLogTail(path).Since(), IsEmpty());
  std::ofstream(path) << "1 [emerg] old\n";
  const ErrorLogTail tail(path);
  EXPECT_THAT(tail.Since(), IsEmpty());
  std::ofstream(path, std::ios::app)
      << "2 [notice] no\n3 [emerg] bind() failed\n4 [error] a request's\n";
  EXPECT_THAT(tail.Since(), ElementsAre("3 [emerg] bind() failed"));
  // Rotated.
  ASSERT_TRUE(WriteFileAtomically(path, "5 [alert] new file\n").ok());
  EXPECT_THAT(tail.Since(), ElementsAre("5 [alert] new file"));
}

constexpr char kDump[] = R"(# configuration file /etc/nginx/nginx.conf:
http { include /etc/nginx/conf.d/*.conf; include /etc/nginx/sites-enabled/*; }
# configuration file /etc/nginx/conf.d/gifty_upstream.conf:
upstream gifty_backend { server 127.0.0.1:8000; }
# configuration file /etc/nginx/sites-enabled/gifty:
server {
  listen 443;
  location / {
    proxy_pass http://gifty_backend;
  }
  # proxy_pass http://127.0.0.1:8000;
  location /api {
    proxy_pass http://localhost:8001/v1;
  }
}
# configuration file /etc/nginx/sites-enabled/other:
upstream other {
  server 127.0.0.1:8000 weight=2;
  server 10.0.0.1:8000;
}
server { location / { proxy_pass http://127.0.0.1:9000; fastcgi_pass 127.0.0.1:8001; } }
server { location / { proxy_pass "http://[::1]:8000$request_uri"; } }
)";

TEST(NginxDiagnose, FindsWhatIsSentToASlotsPortPastTheUpstream) {
  std::vector<std::string> found;
  for (const FixedPass& pass :
       FindFixedPasses(kDump, "/etc/nginx/conf.d/gifty_upstream.conf", {8000, 8001})) {
    found.push_back(pass.place + " " + pass.directive);
  }
  EXPECT_THAT(found,
              ::testing::ElementsAre(
                  "/etc/nginx/sites-enabled/gifty:8 proxy_pass http://localhost:8001/v1",
                  "/etc/nginx/sites-enabled/other:2 server 127.0.0.1:8000",
                  "/etc/nginx/sites-enabled/other:5 fastcgi_pass 127.0.0.1:8001",
                  "/etc/nginx/sites-enabled/other:6 proxy_pass http://[::1]:8000$request_uri"));
}

TEST(NginxDiagnose, FindsFixedPortsInVariables) {
  const std::vector<FixedPass> found = FindFixedPasses(
      "# configuration file /etc/nginx/sites-enabled/shop:\n"
      "map $http_x $target {\n"
      "  default http://127.0.0.1:8000;\n"
      "  old http://127.0.0.1:7000;\n"
      "}\n"
      "server {\n"
      "  set $backend \"http://127.0.0.1:8001\";\n"
      "  proxy_redirect http://127.0.0.1:8000/ /;\n"
      "  return 301 http://localhost:8000/;\n"
      "  location / { proxy_pass $backend; }\n"
      "}\n",
      "/etc/nginx/conf.d/shop_upstream.conf", {8000, 8001});
  std::vector<std::string> texts;
  for (const FixedPass& pass : found) texts.push_back(pass.place + " " + pass.directive);
  EXPECT_THAT(texts, ::testing::ElementsAre(
                         "/etc/nginx/sites-enabled/shop:2 default http://127.0.0.1:8000",
                         "/etc/nginx/sites-enabled/shop:6 set $backend http://127.0.0.1:8001"));
}

TEST(NginxDiagnose, LeavesOtherPortsAndHostsAlone) {
  EXPECT_TRUE(FindFixedPasses(kDump, "/etc/nginx/conf.d/gifty_upstream.conf", {3000}).empty());
  EXPECT_TRUE(FindFixedPasses("", "/x.conf", {8000}).empty());
  EXPECT_TRUE(FindFixedPasses("# configuration file /a:\nserver \"", "/x.conf", {8000}).empty());
}

}  // namespace
}  // namespace slipway::executor
