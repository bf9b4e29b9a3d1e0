// What `slipway init` makes of compose files.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/cli/verb_tree.h"
#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class InitTest : public ::testing::Test {
 protected:
  // The text of slipway.yaml for the application `shop`.
  std::string Init(const std::string& compose, const std::string& env = "") {
    const std::filesystem::path checkout = folder_.path() / "Shop.Backend";
    EXPECT_TRUE(MakeFolders(checkout, 0755).ok());
    EXPECT_TRUE(WriteFileAtomically(checkout / "docker-compose.yml", compose).ok());
    EXPECT_TRUE(WriteFileAtomically(checkout / ".env", env).ok());
    std::vector<std::string> words = {"slipway", "init",      "--app",
                                      "shop",    "--compose", checkout / "docker-compose.yml"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    Session session;
    session.file = checkout / "slipway.yaml";
    ::testing::internal::CaptureStdout();
    EXPECT_EQ(VerbTree(session).Run(static_cast<int>(words.size()), arguments.data()), 0);
    said_ = ::testing::internal::GetCapturedStdout();
    const std::string text = ReadFile(session.file).value_or("");
    std::filesystem::remove(session.file);
    return text;
  }

  const slipway::testing::TemporaryFolder folder_;
  std::string said_;
};

constexpr char kServices[] = R"(services:
  api:
    build: .
    ports: ["127.0.0.1:8000:8000"]
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy}}
  migrate: {build: ., command: alembic upgrade head}
  seed: {image: "shop/seed:1", restart: "no"}
  bot: {build: ., restart: always, depends_on: {seed: {condition: service_completed_successfully}}}
  report: {build: ., restart: "no"}
  db: {image: "postgres:17", restart: always}
)";

TEST_F(InitTest, OneShotServicesThatOthersWaitForAreJobs) {
  const std::string text = Init(kServices);
  EXPECT_THAT(text, HasSubstr("  slotted: [api]\n"));
  EXPECT_THAT(text, HasSubstr("  workers: [bot, report]\n"));
  EXPECT_THAT(text, HasSubstr("  jobs: [migrate, seed]\n"));
  EXPECT_THAT(text, HasSubstr("left running: db\n"));
  EXPECT_THAT(said_, HasSubstr("jobs migrate, seed"));
}

TEST_F(InitTest, TheProjectIsTheOneThatComposeWouldName) {
  EXPECT_THAT(Init(kServices), HasSubstr("\n  project: shopbackend\n"));
  EXPECT_THAT(Init(kServices, "COMPOSE_PROJECT_NAME=shop_prod\n"),
              HasSubstr("\n  project: shop_prod\n"));
  EXPECT_THAT(Init(absl::StrCat("name: storefront\n", kServices), "COMPOSE_PROJECT_NAME=other\n"),
              HasSubstr("\n  project: storefront\n"));
  const std::string same = Init(absl::StrCat("name: shop\n", kServices));
  EXPECT_THAT(same, HasSubstr("\n  # project: shop\n"));
  EXPECT_THAT(same, Not(HasSubstr("\n  project:")));
}

}  // namespace
}  // namespace slipway::cli
