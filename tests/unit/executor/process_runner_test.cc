#include "executor/process/process_runner.h"

#include <chrono>
#include <filesystem>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "executor/drivers/proc.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// The tests' own scripts may use a shell; the product never does.
Command Shell(const std::string& script) {
  Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// Waits for a process that is about to end; false when it does not.
bool Ends(int pid) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(5);
  while (ProcReader().StartTicks(pid).has_value()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    usleep(2000);
  }
  return true;
}

TEST(ProcessRunner, AnswersExitCodeAndBothOutputs) {
  const auto result = SystemProcessRunner().Run(Shell("echo out; echo error >&2; exit 3"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_FALSE(result->ok());
  EXPECT_EQ(result->standard_output, "out\n");
  EXPECT_EQ(result->standard_error, "error\n");
}

TEST(ProcessRunner, AnswersTheSignalThatEndedTheProgram) {
  EXPECT_EQ(SystemProcessRunner().Run(Shell("kill -9 $$"))->exit_code, 137);
}

TEST(ProcessRunner, FindsNoMissingProgram) {
  Command command;
  command.argv = {"no-such-program-at-all"};
  EXPECT_TRUE(absl::IsNotFound(SystemProcessRunner().Run(command).status()));
  command.argv = {"/no/such/program"};
  EXPECT_TRUE(absl::IsNotFound(SystemProcessRunner().Run(command).status()));
}

TEST(ProcessRunner, TellsWhyAProgramDidNotStart) {
  Command command;
  command.argv = {"/etc/passwd"};
  const absl::Status status = SystemProcessRunner().Run(command).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  command = Shell("true");
  command.folder = "/no/such/folder";
  EXPECT_FALSE(SystemProcessRunner().Run(command).ok());
}

TEST(ProcessRunner, PassesArgumentsAsTheyAre) {
  Command command;
  command.argv = {"printf", "%s|", "a b", "$(id)", "`id`", "'", "", "*"};
  EXPECT_EQ(SystemProcessRunner().Run(command)->standard_output, "a b|$(id)|`id`|'||*|");
}

TEST(ProcessRunner, GivesAnEmptyEnvironmentButForTheStated) {
  setenv("SLIPWAY_SECRET_OF_THE_EXECUTOR", "canary", 1);
  Command command;
  command.argv = {"env"};
  command.environment = {{"A", "a b\nc"}};
  const std::string output = SystemProcessRunner().Run(command)->standard_output;
  EXPECT_THAT(output, ::testing::Not(HasSubstr("canary")));
  EXPECT_THAT(output, HasSubstr("A=a b\nc\n"));
  EXPECT_THAT(output, HasSubstr("PATH="));
  EXPECT_THAT(output, HasSubstr("HOME="));
}

TEST(ProcessRunner, FeedsStandardInputHoweverLong) {
  Command command;
  command.argv = {"wc", "-c"};
  command.standard_input = std::string(3 << 20, 'x');
  EXPECT_EQ(absl::StripAsciiWhitespace(SystemProcessRunner().Run(command)->standard_output),
            "3145728");
  command.standard_input.clear();
  EXPECT_EQ(absl::StripAsciiWhitespace(SystemProcessRunner().Run(command)->standard_output), "0");
}

TEST(ProcessRunner, SurvivesAProgramThatDoesNotReadItsInput) {
  Command command = Shell("exit 0");
  command.standard_input = std::string(3 << 20, 'x');
  EXPECT_TRUE(SystemProcessRunner().Run(command)->ok());
}

TEST(ProcessRunner, RunsInTheGivenFolder) {
  Command command;
  command.argv = {"pwd"};
  command.folder = "/usr";
  EXPECT_EQ(SystemProcessRunner().Run(command)->standard_output, "/usr\n");
}

TEST(ProcessRunner, KeepsTheFirstFourMebibytesOfTen) {
  int lines = 0;
  Command command = Shell("yes 0123456789012345678901234567890 | head -c 10485760; echo end >&2");
  command.on_line = [&lines](absl::string_view) { ++lines; };
  const auto result = SystemProcessRunner().Run(command);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->standard_output.size(), size_t{4} << 20);
  EXPECT_EQ(result->standard_error, "end\n");
  EXPECT_EQ(lines, 10485760 / 32 + 1);
}

TEST(ProcessRunner, HandsOutLinesAsTheyCome) {
  const slipway::testing::TemporaryFolder folder;
  const std::string flag = (folder.path() / "flag").string();
  std::vector<std::string> lines;
  // The program goes on only when its first line has been seen.
  Command command =
      Shell(absl::StrCat("echo first; while [ ! -e ", flag, " ]; do :; done; printf last"));
  command.on_line = [&](absl::string_view line) {
    lines.emplace_back(line);
    if (line == "first") {
      EXPECT_TRUE(WriteFileAtomically(flag, "").ok());
    }
  };
  EXPECT_TRUE(SystemProcessRunner().Run(command).ok());
  EXPECT_THAT(lines, ElementsAre("first", "last"));
}

TEST(ProcessRunner, KillsTheGrandchildAtTheTimeout) {
  int grandchild = 0;
  Command command = Shell("sleep 100 & echo $!; wait");
  command.timeout = milliseconds(200);
  command.on_line = [&grandchild](absl::string_view line) {
    ASSERT_TRUE(absl::SimpleAtoi(line, &grandchild));
  };
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = SystemProcessRunner().Run(command).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(Ends(grandchild));
}

TEST(ProcessRunner, KillsWhatIgnoresTheTermination) {
  Command command = Shell("trap '' TERM; while true; do sleep 1; done");
  command.timeout = milliseconds(100);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(SystemProcessRunner().Run(command).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(4));
}

TEST(ProcessRunner, LeavesNothingOfTheGroupBehindWhenTheProgramEndsEarly) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = SystemProcessRunner().Run(Shell("sleep 100 & echo $!"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
  int grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(absl::StripAsciiWhitespace(result->standard_output), &grandchild));
  EXPECT_TRUE(Ends(grandchild));
}

TEST(ProcessRunner, StopsPromptlyWhenCancelled) {
  Cancellation cancellation;
  Command command = Shell("echo ready; sleep 100");
  command.cancellation = &cancellation;
  std::chrono::steady_clock::time_point cancelled;
  command.on_line = [&](absl::string_view) {
    cancelled = std::chrono::steady_clock::now();
    cancellation.Cancel();
  };
  EXPECT_TRUE(absl::IsCancelled(SystemProcessRunner().Run(command).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - cancelled, milliseconds(500));
  EXPECT_TRUE(absl::IsCancelled(SystemProcessRunner().Run(command).status()));
}

TEST(ProcessRunner, ReachesAChildOfADaemonThatBlocksTheSignal) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  signal(SIGPIPE, SIG_IGN);
  const auto result = SystemProcessRunner().Run(Shell("kill -TERM $$; echo not reached"));
  const auto pipe = SystemProcessRunner().Run(Shell("kill -PIPE $$; echo not reached"));
  signal(SIGPIPE, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(result->exit_code, 128 + SIGTERM);
  EXPECT_EQ(pipe->exit_code, 128 + SIGPIPE);
}

TEST(ProcessRunner, LeaksNoDescriptorToTheChildOrInTheParent) {
  // One that a library opened without close-on-exec.
  const int careless = dup(0);
  const size_t before = OpenDescriptors();
  Command command;
  command.argv = {"ls", "/proc/self/fd"};
  const auto result = SystemProcessRunner().Run(command);
  // 3 is the folder that ls itself reads.
  EXPECT_EQ(result->standard_output, "0\n1\n2\n3\n");
  command.argv = {"no-such-program-at-all"};
  EXPECT_FALSE(SystemProcessRunner().Run(command).ok());
  command.argv = {"/etc/passwd"};
  EXPECT_FALSE(SystemProcessRunner().Run(command).ok());
  EXPECT_EQ(OpenDescriptors(), before);
  close(careless);
}

TEST(ProcessRunner, RunsManyAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      for (int j = 0; j < 20; ++j) {
        const auto result =
            SystemProcessRunner().Run(Shell(absl::StrCat("echo ", i, "; exit ", i)));
        EXPECT_EQ(result->exit_code, i);
        EXPECT_EQ(result->standard_output, absl::StrCat(i, "\n"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Command, ReadsAsAPersonWouldTypeIt) {
  Command command;
  command.argv = {"docker", "compose", "-p", "gifty-blue", "up", "it's", ""};
  EXPECT_EQ(command.ToString(), R"(docker compose -p gifty-blue up 'it'\''s' '')");
}

}  // namespace
}  // namespace slipway::executor
