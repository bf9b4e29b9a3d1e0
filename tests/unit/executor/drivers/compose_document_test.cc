#include "executor/drivers/compose_document.h"

#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

json Read(const std::string& file) {
  const auto text = ReadFile(std::string(SLIPWAY_TEST_DATA "/compose/") + file);
  EXPECT_TRUE(text.ok()) << text.status();
  auto document = ParseComposeDocument(*text);
  EXPECT_TRUE(document.ok()) << document.status();
  return document.ok() ? *document : json();
}

json Scalar(const std::string& text) {
  const auto document = ParseComposeDocument("services: {a: {x: " + text + "}}");
  return document.ok() ? (*document)["services"]["a"]["x"] : json(document.status().ToString());
}

TEST(ComposeDocument, ReadsTheYamlOfComposeOneAndTheJsonOfComposeTwo) {
  for (const char* file : {"compose-1.29.yml", "compose-2.26.json"}) {
    const json services = Read(file)["services"];
    EXPECT_EQ(services.size(), 7u) << file;
    EXPECT_EQ(services["redis"]["image"], "redis:7-alpine") << file;
    EXPECT_EQ(services["redis"]["command"],
              (json{"redis-server", "--save", "", "--appendonly", "no"}))
        << file;
    EXPECT_EQ(services["api"]["healthcheck"]["retries"], 5) << file;
  }
}

// Both versions were given the same env file; an environment is text, whatever it looks like.
TEST(ComposeDocument, GivesTheSameEnvironmentForBothVersions) {
  const json one = Read("compose-1.29.yml")["services"];
  const json two = Read("compose-2.26.json")["services"];
  for (const char* service : {"api", "bot", "postgres", "scheduler"}) {
    EXPECT_EQ(one[service]["environment"], two[service]["environment"]) << service;
    for (const auto& variable : one[service]["environment"].items()) {
      EXPECT_TRUE(variable.value().is_string()) << service << "." << variable.key();
    }
  }
  const json environment = one["api"]["environment"];
  EXPECT_EQ(environment["PIN"], "0129");
  EXPECT_EQ(environment["COMMIT"], "12e3");
  EXPECT_EQ(environment["RATE"], "1.5e3");
  EXPECT_EQ(environment["OCTAL"], "0123");
  EXPECT_EQ(environment["YES"], "yes");
  EXPECT_EQ(environment["EMPTY"], "");
  EXPECT_EQ(environment["DATE"], "2026-11-22");
}

TEST(ComposeDocument, TakesPlainScalarsAsYamlOneDotOneWritesThem) {
  EXPECT_EQ(Scalar("5"), 5);
  EXPECT_EQ(Scalar("-5"), -5);
  EXPECT_EQ(Scalar("0"), 0);
  EXPECT_EQ(Scalar("1.5"), 1.5);
  EXPECT_EQ(Scalar("1.0e+16"), 1e16);
  EXPECT_EQ(Scalar("true"), true);
  EXPECT_EQ(Scalar("null"), nullptr);
  EXPECT_EQ(Scalar("''"), "");
  EXPECT_EQ(Scalar("'5'"), "5");
  EXPECT_EQ(Scalar("\"true\""), "true");
  for (const char* text : {"0129", "12e3", "1.5e3", "1e5", "-0129", "5-6", "1.2.3", "e5", "-",
                           "--5", "1.5e+", "0.5.", "yes", "5s"}) {
    EXPECT_EQ(Scalar(text), text);
  }
}

TEST(ComposeDocument, RefusesWhatIsNeitherOrHasNoServices) {
  for (const char* text : {"", "{", "services: [", "just text", "[]", "{}", "services: []",
                           "{\"services\": null}", "version: '3'"}) {
    const auto document = ParseComposeDocument(text);
    EXPECT_FALSE(document.ok()) << text;
    EXPECT_EQ(ReasonOf(document.status()), pb::FAILURE_REASON_INVALID_COMPOSE_FILE) << text;
  }
}

TEST(ComposeDocument, TellsWhichEnvFilesComposeReads) {
  using Paths = std::set<std::string>;
  EXPECT_EQ(EnvFilesOf("services: {a: {image: x}}"), Paths());
  EXPECT_EQ(EnvFilesOf("x-c: &c {env_file: .env}\n"
                       "services: {a: {<<: *c}, b: {env_file: [app.env, {path: ./b.env}]}}"),
            Paths({".env", "app.env", "./b.env"}));
  EXPECT_EQ(EnvFilesOf("services: {a: {env_file: ${STAGE}.env}}"), std::nullopt);
  EXPECT_EQ(EnvFilesOf("services: {a: {extends: {file: b.yml}}}"), std::nullopt);
  EXPECT_EQ(EnvFilesOf("include: [b.yml]"), std::nullopt);
  EXPECT_EQ(EnvFilesOf("services: ["), std::nullopt);
}

TEST(ComposeDocument, ReadsTheTimeThatAContainerMayTakeToEnd) {
  EXPECT_EQ(StopGraceOf({{"stop_grace_period", "1m30s"}}), std::chrono::seconds(90));
  EXPECT_EQ(StopGraceOf({{"stop_grace_period", "1.2s"}}), std::chrono::seconds(2));
  EXPECT_EQ(StopGraceOf({{"stop_grace_period", 45}}), std::chrono::seconds(45));
  EXPECT_EQ(StopGraceOf({{"image", "x"}}), std::nullopt);
}

TEST(ComposeDocument, DropsServicesWhoseProfilesAreAllInactive) {
  nlohmann::json document = {{"services",
                              {{"web", {{"image", "x"}}},
                               {"debug", {{"profiles", {"debug"}}}},
                               {"tools", {{"profiles", {"tools"}}}},
                               {"jobs", {{"profiles", {"a", "production"}}}}}}};
  DropInactiveServices(document, "b, production", {"tools"});
  EXPECT_EQ(document["services"].size(), 3u);
  EXPECT_FALSE(document["services"].contains("debug"));
  EXPECT_FALSE(IsInactive(document["services"]["tools"], "*"));
}

TEST(ComposeDocument, GivesAServiceTheVolumesOfTheOneThatItNames) {
  nlohmann::json document = {{"services",
                              {{"web", {{"volumes", {"/r:/app:rw", "data:/data"}}}},
                               {"proxy", {{"volumes_from", {"web:ro", "container:x"}}}}}}};
  ExpandVolumesFrom(document);
  EXPECT_EQ(document["services"]["proxy"]["volumes"],
            nlohmann::json({"/r:/app:ro", "data:/data:ro"}));
  EXPECT_EQ(document["services"]["proxy"]["volumes_from"], nlohmann::json({"container:x"}));
}

TEST(ComposeDocument, FindsFilesBehindMergeKeysAndRefusesKeysThatComeTwice) {
  const auto merged =
      ReferencesOf("x: &e {file: evil.yml}\nservices: {web: {extends: {<<: *e}}}\n", "f");
  ASSERT_TRUE(merged.ok()) << merged.status();
  ASSERT_EQ(merged->size(), 1u);
  EXPECT_EQ(merged->front().target, "evil.yml");
  EXPECT_FALSE(ReferencesOf("services: {web: {extends: {file: a.yml, file: b.yml}}}\n", "f").ok());
}

}  // namespace
}  // namespace slipway::executor
