#include "executor/operations.h"

#include <future>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/no_more_threads.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kCanary[] = "S3CRET-canary";

xpb::ExecuteRequest Build(const std::string& app, const std::string& id, uint64_t epoch,
                          const std::string& release = "0123456789ab") {
  xpb::ExecuteRequest request;
  request.mutable_operation()->set_app(app);
  request.mutable_operation()->set_id(id);
  request.mutable_operation()->set_epoch(epoch);
  request.mutable_operation()->mutable_timeout()->set_seconds(60);
  request.mutable_build()->set_release(release);
  return request;
}

bool IgnoreLines(absl::string_view) { return true; }

// Steps that record themselves; one whose release is "held" goes on until it is let go or
// cancelled.
class OperationsTest : public ::testing::Test {
 protected:
  void SetUp() override { Restart(); }
  void TearDown() override { LetGo(); }

  void Restart() {
    operations_.reset();
    journal_.reset();
    journal_ = *Journal::Open(Path());
    operations_ = std::make_unique<Operations>(
        *journal_, SystemClock(),
        [this](const auto& request, const StepCall& call) { return Step(request, call); },
        [this] { changed_.fetch_add(1); });
  }

  xpb::StepResult Step(const xpb::ExecuteRequest& request, const StepCall& call) {
    {
      MutexLock lock(mutex_);
      ran_.push_back(request.operation().id());
      // What is true the moment a step begins; nothing may run before it is on the disk.
      epoch_at_start_ = journal_->EpochOf(request.operation().app());
      intended_at_start_ = journal_->IntentOf(request.operation().id()).has_value();
    }
    call.on_line("begin");
    if (request.build().release() == "held") {
      started_.set_value();
      while (!call.cancellation->WaitFor(std::chrono::milliseconds(5)) && !let_go_.load()) {
      }
    }
    call.on_line("end");
    xpb::StepResult result;
    result.set_succeeded(!call.cancellation->IsCancelled());
    result.set_summary("ran " + request.operation().id());
    return result;
  }

  void LetGo() { let_go_.store(true); }
  std::vector<std::string> Ran() {
    MutexLock lock(mutex_);
    return ran_;
  }
  std::filesystem::path Path() const { return folder_.path() / "journal"; }

  absl::StatusOr<xpb::StepResult> Execute(const xpb::ExecuteRequest& request) {
    return operations_->Execute(request, IgnoreLines);
  }
  // Starts a held step and answers when it runs.
  std::future<absl::StatusOr<xpb::StepResult>> Hold(const std::string& app, const std::string& id) {
    auto request = Build(app, id, 1, "held");
    auto future = std::async(std::launch::async, [this, request] { return Execute(request); });
    started_.get_future().wait();
    return future;
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<Journal> journal_;
  Mutex mutex_;
  std::vector<std::string> ran_;
  uint64_t epoch_at_start_ = 0;
  bool intended_at_start_ = false;
  std::promise<void> started_;
  std::atomic<bool> let_go_{false};
  std::atomic<int> changed_{0};
  std::unique_ptr<Operations> operations_;
};

TEST_F(OperationsTest, CommitsFenceAndIntentBeforeTheStepBegins) {
  const auto result = Execute(Build("gifty", "op", 7));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->summary(), "ran op");
  EXPECT_EQ(epoch_at_start_, 7u);
  EXPECT_TRUE(intended_at_start_);
  EXPECT_EQ(journal_->ResultOf("op")->summary(), "ran op");
  EXPECT_TRUE(journal_->OpenIntents().empty());
}

TEST_F(OperationsTest, BeginsAStepLaterForWhichThereIsNoThreadNow) {
  if (!testing::NoMoreThreads::IsPossible()) GTEST_SKIP() << "not under this sanitizer";
  {
    const testing::NoMoreThreads none;
    EXPECT_TRUE(absl::IsUnavailable(Execute(Build("gifty", "op", 7)).status()));
  }
  EXPECT_TRUE(Ran().empty());
  EXPECT_EQ(operations_->Running("gifty"), "");
  EXPECT_TRUE(Execute(Build("gifty", "op", 7)).ok());
}

TEST_F(OperationsTest, RefusesALowerEpochBeforeAnySideEffect) {
  ASSERT_TRUE(Execute(Build("gifty", "new", 7)).ok());
  const std::string before = *ReadFile(Path());
  const auto stale = Execute(Build("gifty", "old", 6));
  EXPECT_EQ(stale.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(DetailOf(stale.status()).reason(), "STALE_EPOCH");
  EXPECT_THAT(Ran(), ElementsAre("new"));
  EXPECT_EQ(*ReadFile(Path()), before);
  EXPECT_EQ(operations_->StaleEpochs(), 1u);
  // Its own result is not for a controller that has been replaced either.
  EXPECT_EQ(Execute(Build("gifty", "new", 6)).status().code(), absl::StatusCode::kAborted);
  // Another application has epochs of its own.
  EXPECT_TRUE(Execute(Build("other", "x", 1)).ok());
}

TEST_F(OperationsTest, ObeysTheLatestLeadOnlyAlsoAfterARestartAndRepeatsItsAnswersToIt) {
  xpb::ExecuteRequest first = Build("gifty", "one", 7);
  first.mutable_operation()->set_lead(3);
  ASSERT_TRUE(Execute(first).ok());
  // The next leader sends what was under way once more, as the same operation.
  xpb::ExecuteRequest again = first;
  again.mutable_operation()->set_lead(5);
  ASSERT_TRUE(Execute(again).ok());
  // For other applications too.
  xpb::ExecuteRequest late = Build("shop", "two", 1);
  late.mutable_operation()->set_lead(3);
  EXPECT_EQ(DetailOf(Execute(late).status()).reason(), "STALE_EPOCH");
  Restart();
  EXPECT_EQ(DetailOf(Execute(late).status()).reason(), "STALE_EPOCH");
  late.mutable_operation()->set_lead(5);
  EXPECT_TRUE(Execute(late).ok());
  // A controller that is alone again has none to show.
  EXPECT_TRUE(Execute(Build("shop", "three", 1)).ok());
}

TEST_F(OperationsTest, RefusesALowerEpochAfterARestartToo) {
  ASSERT_TRUE(Execute(Build("gifty", "new", 7)).ok());
  Restart();
  EXPECT_EQ(DetailOf(Execute(Build("gifty", "old", 6)).status()).reason(), "STALE_EPOCH");
  EXPECT_TRUE(Execute(Build("gifty", "same", 7)).ok());
}

TEST_F(OperationsTest, AnswersARepeatedCallFromTheRecord) {
  const auto request = Build("gifty", "op", 1);
  const auto first = Execute(request);
  const auto second = Execute(request);
  Restart();
  const auto third = Execute(request);
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(first->SerializeAsString(), second->SerializeAsString());
  EXPECT_EQ(first->SerializeAsString(), third->SerializeAsString());
  EXPECT_THAT(Ran(), ElementsAre("op"));
}

TEST_F(OperationsTest, AnswersARepeatedCallOfAHigherEpochAndObeysItFromThenOn) {
  ASSERT_TRUE(Execute(Build("gifty", "op", 1)).ok());
  ASSERT_TRUE(Execute(Build("gifty", "op", 5)).ok());
  EXPECT_THAT(Ran(), ElementsAre("op"));
  EXPECT_EQ(journal_->EpochOf("gifty"), 5u);
}

TEST_F(OperationsTest, RefusesAKnownIdWithOtherArguments) {
  ASSERT_TRUE(Execute(Build("gifty", "op", 1)).ok());
  const auto other = Execute(Build("gifty", "op", 1, "ba9876543210"));
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(other.status()).reason(), "OPERATION_ID_REUSED");
  auto another_kind = Build("gifty", "op", 1);
  another_kind.mutable_shared()->set_release("0123456789ab");
  EXPECT_EQ(DetailOf(Execute(another_kind).status()).reason(), "OPERATION_ID_REUSED");
  EXPECT_THAT(Ran(), ElementsAre("op"));
}

TEST_F(OperationsTest, TakesAnotherEnvFileForOtherArguments) {
  xpb::ExecuteRequest request = Build("gifty", "op", 1);
  request.mutable_stage()->set_env_file("A=1");
  ASSERT_TRUE(Execute(request).ok());
  request.mutable_stage()->set_env_file("A=2");
  EXPECT_EQ(DetailOf(Execute(request).status()).reason(), "OPERATION_ID_REUSED");
}

TEST_F(OperationsTest, RunsAnInterruptedStepAgain) {
  xpb::JournalRecord fence;
  fence.mutable_fence()->set_app("gifty");
  fence.mutable_fence()->set_epoch(1);
  xpb::JournalRecord intent;
  intent.mutable_intent()->set_app("gifty");
  intent.mutable_intent()->set_operation_id("op");
  intent.mutable_intent()->set_epoch(1);
  ASSERT_TRUE(Execute(Build("gifty", "op", 1)).ok());
  // As a crash between intent and result leaves it: the same intent, without the result.
  intent.mutable_intent()->set_arguments_hash(journal_->IntentOf("op")->arguments_hash());
  operations_.reset();
  journal_.reset();
  std::filesystem::remove(Path());
  {
    auto crashed = Journal::Open(Path());
    ASSERT_TRUE((*crashed)->Append(fence).ok());
    ASSERT_TRUE((*crashed)->Append(intent).ok());
  }
  Restart();
  ASSERT_TRUE(Execute(Build("gifty", "op", 1)).ok());
  EXPECT_THAT(Ran(), ElementsAre("op", "op"));
  EXPECT_EQ(operations_->RunAgain(), 1u);
}

TEST_F(OperationsTest, ContinuesAfterARestartWhatAStopOfTheProcessCutShort) {
  auto held = Hold("gifty", "op");
  operations_->Suspend();
  EXPECT_EQ(held.get().status().code(), absl::StatusCode::kUnavailable);
  Restart();
  EXPECT_FALSE(journal_->ResultOf("op").has_value()) << "a step that was cut short has not failed";
  ASSERT_EQ(journal_->OpenIntents().size(), 1u);
  LetGo();
  started_ = {};
  const auto result = Execute(Build("gifty", "op", 1, "held"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded());
  EXPECT_THAT(Ran(), ElementsAre("op", "op"));
}

TEST_F(OperationsTest, RecordsAStepThatEndsWellWhileTheProcessStops) {
  auto held = Hold("gifty", "op");
  LetGo();
  ASSERT_TRUE(held.get().ok());
  operations_->Suspend();
  EXPECT_EQ(Execute(Build("gifty", "next", 1)).status().code(), absl::StatusCode::kUnavailable);
  Restart();
  EXPECT_TRUE(journal_->ResultOf("op").has_value());
}

TEST_F(OperationsTest, ClosesWhatALocalRunIntended) {
  const auto ran = operations_->RunLocally("gifty", [this](const StepCall& call) {
    xpb::JournalRecord record;
    record.mutable_intent()->set_app("gifty");
    record.mutable_intent()->set_operation_id(call.operation.id());
    record.mutable_intent()->set_epoch(call.operation.epoch());
    record.mutable_intent()->mutable_switch_()->set_generation(5);
    EXPECT_TRUE(journal_->Append(record).ok());
    xpb::StepResult result;
    result.set_succeeded(true);
    return result;
  });
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_TRUE(journal_->OpenIntents().empty());
  Restart();
  EXPECT_TRUE(journal_->OpenIntents().empty());
}

TEST_F(OperationsTest, LetsTwoCallersSeeOneRun) {
  auto first = Hold("gifty", "op");
  std::vector<std::string> lines;
  std::promise<void> attached;
  auto second = std::async(std::launch::async, [&] {
    return operations_->Execute(Build("gifty", "op", 1, "held"), [&](absl::string_view line) {
      if (lines.empty()) attached.set_value();
      lines.emplace_back(line);
      return true;
    });
  });
  attached.get_future().wait();
  LetGo();
  const auto one = first.get();
  const auto two = second.get();
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->SerializeAsString(), two->SerializeAsString());
  EXPECT_THAT(Ran(), ElementsAre("op"));
  EXPECT_THAT(lines, ElementsAre("begin", "end"));
}

TEST_F(OperationsTest, GoesOnWithAStepWhoseCallerLeaves) {
  const auto left = operations_->Execute(Build("gifty", "op", 1, "held"),
                                         [](absl::string_view) { return false; });
  EXPECT_EQ(left.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(operations_->Running("gifty"), "op");
  LetGo();
  const auto result = Execute(Build("gifty", "op", 1, "held"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded());
  EXPECT_THAT(Ran(), ElementsAre("op"));
}

TEST_F(OperationsTest, RefusesAnotherOperationOfTheApplicationWhileOneRuns) {
  auto running = Hold("gifty", "op");
  const auto other = Execute(Build("gifty", "other", 9));
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailOf(other.status()).reason(), "OPERATION_RUNNING");
  // A refused call leaves no trace, its epoch included.
  EXPECT_EQ(journal_->EpochOf("gifty"), 1u);
  EXPECT_FALSE(journal_->IntentOf("other").has_value());
  EXPECT_TRUE(Execute(Build("another-app", "x", 1)).ok());
  LetGo();
  EXPECT_TRUE(running.get().ok());
  EXPECT_TRUE(Execute(Build("gifty", "other", 9)).ok());
}

TEST_F(OperationsTest, CancelsTheNamedOperationOnly) {
  auto running = Hold("gifty", "op");
  EXPECT_FALSE(operations_->Cancel("gifty", "another"));
  EXPECT_FALSE(operations_->Cancel("other", "op"));
  EXPECT_EQ(operations_->Running("gifty"), "op");
  EXPECT_TRUE(operations_->Cancel("gifty", "op"));
  const auto result = running.get();
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->succeeded());
  EXPECT_FALSE(operations_->Cancel("gifty", "op"));
  EXPECT_EQ(operations_->Running("gifty"), "");
}

TEST_F(OperationsTest, CutsShortWhatRunsWhenItEndsAndRecordsNoResultOfIt) {
  auto left = operations_->Execute(Build("gifty", "op", 1, "held"),
                                   [](absl::string_view) { return false; });
  operations_.reset();
  EXPECT_FALSE(journal_->ResultOf("op").has_value());
  EXPECT_TRUE(journal_->IntentOf("op").has_value());
}

TEST_F(OperationsTest, KeepsTheEnvFileOutOfTheJournal) {
  xpb::ExecuteRequest request = Build("gifty", "op", 1);
  request.mutable_stage()->set_release("0123456789ab");
  request.mutable_stage()->set_env_file(std::string("TOKEN=") + kCanary);
  ASSERT_TRUE(Execute(request).ok());
  ASSERT_TRUE(journal_->ResultOf("op").has_value());
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(ReadFile(file.path())->find(kCanary), std::string::npos) << file.path();
    ++files;
  }
  EXPECT_GE(files, 2);
  EXPECT_NE(ReadFile(Path())->find("stage"), std::string::npos);
}

TEST_F(OperationsTest, RefusesWhatIsNoOperation) {
  xpb::ExecuteRequest request = Build("gifty", "op", 1);
  request.clear_command();
  EXPECT_EQ(Execute(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Execute(Build("", "op", 1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Execute(Build("gifty", "", 1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Ran(), IsEmpty());
}

TEST_F(OperationsTest, TellsWhoWatchesAfterEachOperation) {
  ASSERT_TRUE(Execute(Build("gifty", "1", 1)).ok());
  // The second waits for the first one's thread.
  ASSERT_TRUE(Execute(Build("gifty", "2", 1)).ok());
  EXPECT_GE(changed_.load(), 1);
  operations_.reset();
  EXPECT_EQ(changed_.load(), 2);
}

TEST_F(OperationsTest, RunsLocallyWithAnEpochAboveAll) {
  ASSERT_TRUE(Execute(Build("gifty", "op", 7)).ok());
  uint64_t epoch = 0;
  uint64_t committed = 0;
  std::string running;
  const auto result = operations_->RunLocally("gifty", [&](const StepCall& call) {
    epoch = call.operation.epoch();
    committed = journal_->EpochOf("gifty");
    running = operations_->Running("gifty");
    xpb::StepResult done;
    done.set_succeeded(true);
    return done;
  });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(epoch, 8u);
  EXPECT_EQ(committed, 8u);
  EXPECT_FALSE(running.empty());
  EXPECT_EQ(operations_->Running("gifty"), "");
  // The deployment that was under way is fenced off.
  EXPECT_EQ(DetailOf(Execute(Build("gifty", "next", 7)).status()).reason(), "STALE_EPOCH");
}

TEST_F(OperationsTest, DoesNotRunLocallyBesideAnOperation) {
  auto running = Hold("gifty", "op");
  bool ran = false;
  const auto local = operations_->RunLocally("gifty", [&](const StepCall&) {
    ran = true;
    return xpb::StepResult();
  });
  EXPECT_EQ(DetailOf(local.status()).reason(), "OPERATION_RUNNING");
  EXPECT_FALSE(ran);
  EXPECT_EQ(journal_->EpochOf("gifty"), 1u);
  LetGo();
  EXPECT_TRUE(running.get().ok());
}

// Whoever guesses the id must not wait for ever, nor take the local result for its own.
TEST_F(OperationsTest, LetsNobodyAttachToWhatRunsLocally) {
  absl::Status attached;
  const auto local = operations_->RunLocally("gifty", [&](const StepCall& call) {
    attached = Execute(Build("gifty", call.operation.id(), 9)).status();
    return xpb::StepResult();
  });
  EXPECT_TRUE(local.ok());
  EXPECT_EQ(DetailOf(attached).reason(), "OPERATION_ID_REUSED");
}

TEST_F(OperationsTest, TakesATimeoutOfAnyLength) {
  auto request = Build("gifty", "op", 1);
  request.mutable_operation()->mutable_timeout()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_TRUE(Execute(request).ok());
}

TEST(StepWord, IsTheCommandsFieldName) {
  EXPECT_EQ(StepWord(Build("a", "b", 1)), "build");
  xpb::ExecuteRequest request;
  request.mutable_switch_();
  EXPECT_EQ(StepWord(request), "switch");
  request.clear_command();
  EXPECT_EQ(StepWord(request), "");
}

}  // namespace
}  // namespace slipway::executor
