#include "executor/drivers/compose_cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Argv = std::vector<std::string>;

// Records every command and answers what the test laid down, by the first word of argv.
class RecordingRunner final : public ProcessRunner {
 public:
  absl::StatusOr<ProcessResult> Run(const Command& command) override {
    commands.push_back(command);
    const auto found = answers.find(command.argv[0]);
    if (found == answers.end()) return absl::NotFoundError("no such program");
    return found->second;
  }

  std::map<std::string, ProcessResult> answers;
  std::vector<Command> commands;
};

CallContext Soon() {
  return {std::chrono::steady_clock::now() + std::chrono::minutes(1), nullptr, nullptr};
}

const ComposeCli::Project kProject = {"gifty-blue", "/state/blue.json", "/state"};

ComposeCli Detected(RecordingRunner& runner, const std::string& version) {
  runner.answers["docker-compose"] = {0, version + "\n", ""};
  auto compose = ComposeCli::Detect(runner, "/run/docker.sock", {"docker-compose"});
  EXPECT_TRUE(compose.ok());
  runner.commands.clear();
  return *compose;
}

TEST(ComposeCli, PrefersThePluginAndKnowsItsGeneration) {
  RecordingRunner runner;
  runner.answers["docker"] = {0, "v2.26.1\n", ""};
  runner.answers["docker-compose"] = {0, "1.29.2\n", ""};
  const auto compose = ComposeCli::Detect(runner, "/run/docker.sock", {});
  ASSERT_TRUE(compose.ok());
  EXPECT_EQ(compose->Version(), "2.26.1");
  EXPECT_EQ(compose->Generation(), 2);
  ASSERT_EQ(runner.commands.size(), 1u);
  EXPECT_EQ(runner.commands[0].argv, (Argv{"docker", "compose", "version", "--short"}));
}

TEST(ComposeCli, FallsBackToTheOlderProgram) {
  RecordingRunner runner;
  runner.answers["docker"] = {1, "", "docker: 'compose' is not a docker command."};
  runner.answers["docker-compose"] = {0, "1.29.2\n", ""};
  const auto compose = ComposeCli::Detect(runner, "/run/docker.sock", {});
  ASSERT_TRUE(compose.ok());
  EXPECT_EQ(compose->Generation(), 1);
  EXPECT_EQ(runner.commands.back().argv, (Argv{"docker-compose", "version", "--short"}));
}

TEST(ComposeCli, TriesOnlyTheProgramThatIsConfigured) {
  RecordingRunner runner;
  runner.answers["docker"] = {0, "2.26.1", ""};
  const auto compose = ComposeCli::Detect(runner, "/run/docker.sock", {"/opt/compose"});
  EXPECT_EQ(compose.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DetailOf(compose.status()).reason(), "NO_COMPOSE");
  EXPECT_THAT(DetailOf(compose.status()).cure(), HasSubstr("docker-compose"));
  EXPECT_EQ(runner.commands.size(), 1u);
}

TEST(ComposeCli, AsksEachGenerationForTheFormatItHas) {
  for (const auto& [version, tail] : {std::pair<std::string, Argv>{"1.29.2", {"config"}},
                                      {"2.26.1-4", {"config", "--format", "json"}}}) {
    RecordingRunner runner;
    const ComposeCli compose = Detected(runner, version);
    runner.answers["docker-compose"] = {0, "{\"services\": {}}", ""};
    ASSERT_TRUE(compose.Config(kProject, "/release/.env", {{"APP_PORT", "8000"}}, Soon()).ok());
    Argv expected = {"docker-compose",
                     "--ansi",
                     "never",
                     "-p",
                     "gifty-blue",
                     "-f",
                     "/state/blue.json",
                     "--project-directory",
                     "/state",
                     "--env-file",
                     "/release/.env"};
    expected.insert(expected.end(), tail.begin(), tail.end());
    ASSERT_EQ(runner.commands.size(), 1u);
    EXPECT_EQ(runner.commands[0].argv, expected);
    EXPECT_THAT(runner.commands[0].environment,
                ElementsAre(std::pair("APP_PORT", "8000"), std::pair("COMPOSE_PROFILES", "*"),
                            std::pair("DOCKER_BUILDKIT", "0"),
                            std::pair("DOCKER_HOST", "unix:///run/docker.sock")));
    // What it prints is the whole file with its values: nobody's log line.
    EXPECT_FALSE(static_cast<bool>(runner.commands[0].on_line));
  }
}

TEST(ComposeCli, SaysWithPlainCommandsWhatItWants) {
  RecordingRunner runner;
  const ComposeCli compose = Detected(runner, "2.26.1");
  ASSERT_TRUE(compose.Build(kProject, {"build"}, Soon()).ok());
  ASSERT_TRUE(compose.Pull(kProject, {"redis"}, Soon()).ok());
  ASSERT_TRUE(compose.Create(kProject, {}, Soon()).ok());
  ASSERT_TRUE(compose.Up(kProject, {"api", "db"}, Soon()).ok());
  const Argv tails[] = {{"build", "build"},
                        {"pull", "redis"},
                        {"up", "--no-start", "--no-build"},
                        {"up", "-d", "--no-recreate", "--no-build", "api", "db"}};
  ASSERT_EQ(runner.commands.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const Command& command = runner.commands[i];
    Argv expected = {
        "docker-compose",      "--ansi", "never", "-p", "gifty-blue", "-f", "/state/blue.json",
        "--project-directory", "/state"};
    expected.insert(expected.end(), tails[i].begin(), tails[i].end());
    EXPECT_EQ(command.argv, expected);
    // Nothing of the executor's own environment, no secret.
    EXPECT_THAT(command.environment,
                ElementsAre(std::pair("DOCKER_BUILDKIT", "0"),
                            std::pair("DOCKER_HOST", "unix:///run/docker.sock")));
    EXPECT_EQ(command.folder, "/state");
    EXPECT_TRUE(command.standard_input.empty());
    EXPECT_LE(command.timeout, std::chrono::minutes(1));
    EXPECT_GT(command.timeout, std::chrono::seconds(50));
  }
}

TEST(ComposeCli, HandsOnCancellationAndLines) {
  RecordingRunner runner;
  const ComposeCli compose = Detected(runner, "2.26.1");
  Cancellation cancellation;
  std::vector<std::string> lines;
  CallContext call = Soon();
  call.cancellation = &cancellation;
  call.on_line = [&](absl::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(compose.Up(kProject, {}, call).ok());
  EXPECT_EQ(runner.commands[0].cancellation, &cancellation);
  ASSERT_TRUE(static_cast<bool>(runner.commands[0].on_line));
  runner.commands[0].on_line("pulled");
  EXPECT_THAT(lines, ElementsAre("pulled"));
}

TEST(ComposeCli, StillHasATimeWhenTheDeadlineIsOver) {
  RecordingRunner runner;
  const ComposeCli compose = Detected(runner, "2.26.1");
  CallContext late = Soon();
  late.deadline = std::chrono::steady_clock::now() - std::chrono::hours(1);
  EXPECT_TRUE(compose.Up(kProject, {}, late).ok());
  EXPECT_GT(runner.commands[0].timeout.count(), 0);
}

TEST(ComposeCli, PassesOnTheLastLinesOfAFailure) {
  RecordingRunner runner;
  const ComposeCli compose = Detected(runner, "2.26.1");
  runner.answers["docker-compose"] = {1, "noise",
                                      "1\n2\n3\n4\n5\n6\n7\nport is already allocated\n"};
  const absl::Status started = compose.Up(kProject, {"api"}, Soon());
  EXPECT_EQ(ReasonOf(started), pb::FAILURE_REASON_START);
  EXPECT_EQ(started.message(), "compose up api failed: 3; 4; 5; 6; 7; port is already allocated");
  EXPECT_EQ(ReasonOf(compose.Build(kProject, {}, Soon())), pb::FAILURE_REASON_BUILD);
  const auto config = compose.Config(kProject, "/x", {}, Soon());
  EXPECT_EQ(ReasonOf(config.status()), pb::FAILURE_REASON_INVALID_COMPOSE_FILE);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("already allocated"));
}

TEST(ComposeCli, PassesOnThatItWasStopped) {
  RecordingRunner runner;
  const ComposeCli compose = Detected(runner, "2.26.1");
  runner.answers.clear();
  EXPECT_EQ(compose.Up(kProject, {}, Soon()).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace slipway::executor
