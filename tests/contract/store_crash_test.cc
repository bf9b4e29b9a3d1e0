// What SQLite's store promises when the process dies, the disk is full, or somebody edits the file.
#include <algorithm>
#include <random>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "common/file.h"
#include "common/status.h"
#include "controller/store/sql_store.h"
#include "tests/contract/store_contract.h"

namespace slipway::controller {
namespace {

class StoreCrash : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("store_crash.",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<SqlStore> Open() {
    auto store = SqlStore::Open(folder_ / "state.db", SystemClock());
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(store).value();
  }
  void Tamper(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "state.db").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  std::filesystem::path folder_;
};

// Writes rows for ever; tells each acknowledged number through the pipe.
[[noreturn]] void WriteUntilKilled(const std::filesystem::path& file, int pipe_end) {
  auto store = SqlStore::Open(file, SystemClock());
  if (!store.ok()) _exit(1);
  for (uint32_t i = 1;; ++i) {
    if (!(*store)->AppendHistory({"gifty", "ann", "act", absl::StrCat(i), "ok"}).ok()) _exit(2);
    if (write(pipe_end, &i, sizeof(i)) != sizeof(i)) _exit(3);
  }
}

TEST_F(StoreCrash, KeepsEveryAcknowledgedHistoryRowAfterKill9) {
  uint64_t kept = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      WriteUntilKilled(folder_ / "state.db", ends[1]);
    }
    close(ends[1]);
    uint32_t acknowledged = 0;
    const uint32_t enough = 20 + static_cast<uint32_t>(round) * 7;
    while (acknowledged < enough &&
           read(ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    // What it acknowledged between our last read and its end counts as well.
    while (read(ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
    }
    close(ends[0]);
    const auto store = Open();
    const auto newest = store->ListHistory("", 0, 1);
    ASSERT_EQ(newest->size(), 1u);
    EXPECT_GE(newest->at(0).sequence, kept + acknowledged);
    EXPECT_TRUE(store->VerifyHistory().ok()) << store->VerifyHistory();
    kept = newest->at(0).sequence;
  }
}

TEST_F(StoreCrash, LeavesNothingHalfDoneWhenTheDiskIsFull) {
  const auto store = Open();
  ASSERT_TRUE(store->ApplyApplication(SpecOf("gifty"), {}, "ann").ok());
  ASSERT_TRUE(store->CreateRelease(ReleaseOf("gifty", "aaaaaaaaaaaa"), {}, "ann").ok());
  const std::string id = store->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {})->id;
  Transition end = EndOf(store->GetDeployment("gifty", id).value(), pb::DEPLOYMENT_STATE_FAILED);
  StepRecord step;
  step.name = "health";
  step.evidence.mutable_health()->set_last_body(std::string(200'000, 'x'));
  end.steps.push_back({0, 0, step});
  // One page more each time: every write of the transaction is the one that fails, until none does.
  int failures = 0;
  for (int pages = 1;; ++pages) {
    ASSERT_LT(pages, 500);
    ASSERT_TRUE(store->LimitPagesForTesting(pages).ok());
    const auto result = store->RecordTransition(end);
    ASSERT_TRUE(store->LimitPagesForTesting(0).ok());
    if (result.ok()) break;
    ++failures;
    EXPECT_EQ(DetailOf(result.status()).reason(), "STORE_UNAVAILABLE");
    const auto stored = store->GetDeployment("gifty", id);
    ASSERT_EQ(stored->state, pb::DEPLOYMENT_STATE_PENDING);
    ASSERT_EQ(stored->rollouts[0].steps.size(), 0u);
    ASSERT_EQ(stored->last_event, 1u);
    ASSERT_EQ(store->LeaseHolder("gifty").value(), id);
    ASSERT_TRUE(store->VerifyHistory().ok());
  }
  EXPECT_GT(failures, 10);
  EXPECT_EQ(store->GetDeployment("gifty", id)->state, pb::DEPLOYMENT_STATE_FAILED);
  EXPECT_TRUE(store->VerifyHistory().ok());
}

// A process of its own that opens the database when it is told to, writes a row, closes it again and answers.
class OtherProcess {
 public:
  explicit OtherProcess(const std::filesystem::path& file) {
    EXPECT_EQ(pipe(ask_), 0);
    EXPECT_EQ(pipe(answer_), 0);
    child_ = fork();
    if (child_ != 0) return;
    char byte = 0;
    if (read(ask_[0], &byte, 1) != 1) _exit(1);
    uint64_t rows = 0;
    {
      const auto store = SqlStore::Open(file, SystemClock());
      if (!store.ok() || !(*store)->VerifyHistory().ok()) _exit(2);
      if (!(*store)->AppendHistory({"gifty", "other", "act", "row", "ok"}).ok()) _exit(3);
      rows = (*store)->ListHistory("", 0, 1)->front().sequence;
    }
    static_cast<void>(write(answer_[1], &rows, sizeof(rows)));
    _exit(0);
  }
  ~OtherProcess() {
    for (const int end : {ask_[0], ask_[1], answer_[0], answer_[1]}) close(end);
    waitpid(child_, nullptr, 0);
  }

  // How many rows it saw, its own included; 0 when it failed.
  uint64_t Go() {
    close(std::exchange(answer_[1], -1));
    uint64_t rows = 0;
    EXPECT_EQ(write(ask_[1], "x", 1), 1);
    return read(answer_[0], &rows, sizeof(rows)) == sizeof(rows) ? rows : 0;
  }

 private:
  int ask_[2] = {-1, -1};
  int answer_[2] = {-1, -1};
  pid_t child_ = 0;
};

TEST_F(StoreCrash, KeepsEveryRowWhenAnotherProcessOpensAndClosesTheDatabaseMeanwhile) {
  OtherProcess first(folder_ / "state.db");
  OtherProcess second(folder_ / "state.db");
  const auto store = Open();
  const auto append = [&] { return store->AppendHistory({"gifty", "ann", "act", "row", "ok"}); };
  ASSERT_TRUE(append().ok());
  EXPECT_EQ(first.Go(), 2u);
  EXPECT_EQ(store->ListHistory("", 0, 1)->front().sequence, 2u);
  ASSERT_TRUE(append().ok());
  EXPECT_EQ(second.Go(), 4u) << "and sees what was written since";
}

TEST_F(StoreCrash, FindsEveryKindOfTampering) {
  const std::string unlock = "DROP TRIGGER history_stays; DROP TRIGGER history_holds;";
  const std::vector<std::string> deeds = {"UPDATE history SET actor='eve' WHERE sequence=3",
                                          "UPDATE history SET origin='elsewhere' WHERE sequence=3",
                                          "DELETE FROM history WHERE sequence=3",
                                          "DELETE FROM history WHERE sequence=6",
                                          "UPDATE history SET sequence=99 WHERE sequence=3;"
                                          "UPDATE history SET sequence=3 WHERE sequence=4;"
                                          "UPDATE history SET sequence=4 WHERE sequence=99",
                                          "DELETE FROM history"};
  for (const std::string& deed : deeds) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    {
      const auto store = Open();
      for (int i = 0; i < 6; ++i) {
        ASSERT_TRUE(store->AppendHistory({"a", "ann", "act", absl::StrCat(i), "ok"}).ok());
      }
      ASSERT_TRUE(store->VerifyHistory().ok());
    }
    Tamper(unlock + deed);
    EXPECT_EQ(DetailOf(Open()->VerifyHistory()).reason(), "HISTORY_BROKEN") << deed;
  }
}

TEST_F(StoreCrash, RefusesADatabaseOfANewerProgram) {
  Open();
  Tamper("PRAGMA user_version=99");
  const auto store = SqlStore::Open(folder_ / "state.db", SystemClock());
  EXPECT_EQ(DetailOf(store.status()).reason(), "SCHEMA_TOO_NEW");
}

}  // namespace
}  // namespace slipway::controller
