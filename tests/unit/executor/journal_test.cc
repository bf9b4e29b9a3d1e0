#include "executor/journal.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::TemporaryFolder;

xpb::JournalRecord Fence(const std::string& app, uint64_t epoch) {
  xpb::JournalRecord record;
  record.mutable_fence()->set_app(app);
  record.mutable_fence()->set_epoch(epoch);
  return record;
}

xpb::JournalRecord Intent(const std::string& app, const std::string& id) {
  xpb::JournalRecord record;
  record.mutable_intent()->set_app(app);
  record.mutable_intent()->set_operation_id(id);
  record.mutable_intent()->set_arguments_hash(std::string(32, 'h'));
  record.mutable_intent()->set_step("start");
  return record;
}

xpb::JournalRecord SwitchIntent(const std::string& app, const std::string& id,
                                uint64_t generation) {
  xpb::JournalRecord record = Intent(app, id);
  record.mutable_intent()->set_step("switch");
  record.mutable_intent()->mutable_switch_()->set_generation(generation);
  record.mutable_intent()->mutable_switch_()->set_old_text("upstream {}");
  return record;
}

xpb::JournalRecord Result(const std::string& app, const std::string& id,
                          const std::string& summary) {
  xpb::JournalRecord record;
  record.mutable_result()->set_app(app);
  record.mutable_result()->set_operation_id(id);
  record.mutable_result()->mutable_result()->set_succeeded(true);
  record.mutable_result()->mutable_result()->set_summary(summary);
  return record;
}

xpb::JournalRecord Facts(const std::string& app, uint64_t generation, uint64_t last_generation) {
  xpb::JournalRecord record;
  record.mutable_facts()->set_app(app);
  record.mutable_facts()->set_generation(generation);
  record.mutable_facts()->set_last_generation(last_generation);
  return record;
}

xpb::JournalRecord Event(uint64_t sequence) {
  xpb::JournalRecord record;
  record.mutable_event()->set_sequence(sequence);
  record.mutable_event()->set_action("local_rollback");
  return record;
}

xpb::JournalRecord Acknowledged(uint64_t sequence) {
  xpb::JournalRecord record;
  record.mutable_acknowledged()->set_sequence(sequence);
  return record;
}

// Everything that a journal answers about these applications and operations, as text to compare.
std::string Picture(const Journal& journal, const std::vector<std::string>& ids) {
  std::string picture;
  for (const std::string& app : journal.Applications()) {
    absl::StrAppend(&picture, "app ", app, " ", journal.FactsOf(app).DebugString());
  }
  for (const char* app : {"a", "b"}) absl::StrAppend(&picture, app, journal.EpochOf(app), "\n");
  for (const std::string& id : ids) {
    const auto intent = journal.IntentOf(id);
    const auto result = journal.ResultOf(id);
    absl::StrAppend(&picture, id, " ", intent ? intent->DebugString() : "-", " ",
                    result ? result->DebugString() : "-", "\n");
  }
  for (const auto& open : journal.OpenIntents()) absl::StrAppend(&picture, open.operation_id());
  for (const auto& event : journal.UnacknowledgedEvents()) {
    absl::StrAppend(&picture, event.DebugString());
  }
  absl::StrAppend(&picture, journal.LastEventSequence());
  return picture;
}

class JournalTest : public ::testing::Test {
 protected:
  fs::path Path() const { return folder_.path() / "journal"; }

  std::unique_ptr<Journal> Open() {
    auto journal = Journal::Open(Path());
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  void Append(Journal& journal, const std::vector<xpb::JournalRecord>& records) {
    for (const auto& record : records) ASSERT_TRUE(journal.Append(record).ok());
  }
  // Bytes as a crash leaves them.
  void Overwrite(const std::string& bytes) {
    const UniqueFd fd(open(Path().c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    ASSERT_TRUE(WriteAll(fd.get(), bytes).ok());
  }

  TemporaryFolder folder_;
};

const std::vector<std::string> kIds = {"1", "2", "3"};

std::vector<xpb::JournalRecord> OneOfEach() {
  return {Fence("a", 3),
          Intent("a", "1"),
          Result("a", "1", "done"),
          SwitchIntent("a", "2", 7),
          Facts("b", 2, 2),
          Event(1),
          Event(2),
          Acknowledged(1),
          Result("a", "2", ""),
          Intent("b", "3")};
}

TEST_F(JournalTest, OfNothingIsEmpty) {
  const auto journal = Open();
  EXPECT_EQ(journal->EpochOf("a"), 0u);
  EXPECT_FALSE(journal->IntentOf("1").has_value());
  EXPECT_FALSE(journal->ResultOf("1").has_value());
  EXPECT_TRUE(journal->OpenIntents().empty());
  EXPECT_TRUE(journal->Applications().empty());
  EXPECT_EQ(journal->FactsOf("a").app(), "a");
  EXPECT_EQ(journal->LastEventSequence(), 0u);
}

TEST_F(JournalTest, SaysTheSameWhenItIsOpenedAgain) {
  std::string before;
  {
    const auto journal = Open();
    Append(*journal, OneOfEach());
    before = Picture(*journal, kIds);
  }
  EXPECT_EQ(Picture(*Open(), kIds), before);
  const auto journal = Open();
  EXPECT_EQ(journal->EpochOf("a"), 3u);
  EXPECT_EQ(journal->ResultOf("1")->summary(), "done");
  ASSERT_EQ(journal->OpenIntents().size(), 1u);
  EXPECT_EQ(journal->OpenIntents()[0].operation_id(), "3");
  EXPECT_THAT(journal->Applications(), ElementsAre("a", "b"));
}

// The last record of each kind, cut at every byte: what came before is there, the rest is gone, and
// it goes on from there.
TEST_F(JournalTest, CutsOffAnUnfinishedRecord) {
  for (const xpb::JournalRecord& last : OneOfEach()) {
    fs::remove(Path());
    std::string before;
    size_t kept = 0;
    {
      const auto journal = Open();
      Append(*journal, {Fence("b", 9), Intent("a", "1"), Event(1), SwitchIntent("a", "2", 7)});
      before = Picture(*journal, kIds);
      kept = fs::file_size(Path());
      Append(*journal, {last});
    }
    const std::string whole = *ReadFile(Path());
    ASSERT_GT(whole.size(), kept + 8);
    for (size_t size = kept; size < whole.size(); ++size) {
      Overwrite(whole.substr(0, size));
      {
        const auto journal = Open();
        ASSERT_EQ(Picture(*journal, kIds), before) << "cut at " << size << " of " << whole.size();
        ASSERT_EQ(fs::file_size(Path()), kept);
        Append(*journal, {Fence("a", 77)});
      }
      ASSERT_EQ(Open()->EpochOf("a"), 77u) << "cut at " << size;
    }
  }
}

TEST_F(JournalTest, CutsOffARecordWithAnyOfItsBytesDamaged) {
  std::string before;
  size_t kept = 0;
  {
    const auto journal = Open();
    Append(*journal, {Fence("a", 3), Intent("a", "1")});
    before = Picture(*journal, kIds);
    kept = fs::file_size(Path());
    Append(*journal, {Result("a", "1", "done")});
  }
  const std::string whole = *ReadFile(Path());
  for (size_t at = kept; at < whole.size(); ++at) {
    for (const int mask : {0x01, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      Overwrite(damaged);
      ASSERT_EQ(Picture(*Open(), kIds), before) << "damaged at " << at - kept;
    }
  }
}

// As some file systems leave a file whose length was written and whose blocks were not.
TEST_F(JournalTest, IsNotMisledByZerosOrNoiseAfterItsEnd) {
  std::string before;
  {
    const auto journal = Open();
    Append(*journal, OneOfEach());
    before = Picture(*journal, kIds);
  }
  const std::string whole = *ReadFile(Path());
  for (const std::string& tail : {std::string(4096, '\0'), std::string(5, '\0'),
                                  std::string(300, '\xFF'), std::string("\x10\0\0\0garbage", 11)}) {
    Overwrite(whole + tail);
    {
      const auto journal = Open();
      EXPECT_EQ(Picture(*journal, kIds), before);
      Append(*journal, {Fence("a", 100)});
    }
    EXPECT_EQ(Open()->EpochOf("a"), 100u);
  }
}

TEST_F(JournalTest, KeepsEverythingTrueWhenItRewritesItself) {
  const auto journal = Open();
  Append(*journal, OneOfEach());
  // Facts replace each other, so all this is waste but the last.
  xpb::JournalRecord large = Facts("b", 5, 5);
  large.mutable_facts()->set_workers_release(std::string(300'000, 'x'));
  uint64_t largest = 0;
  bool shrank = false;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(journal->Append(large).ok());
    shrank |= fs::file_size(Path()) < largest;
    largest = std::max(largest, fs::file_size(Path()));
  }
  EXPECT_TRUE(shrank);
  EXPECT_LT(largest, 6u << 20);
  EXPECT_FALSE(fs::exists(absl::StrCat(Path().string(), ".new")));
  EXPECT_EQ(journal->EpochOf("a"), 3u);
  EXPECT_EQ(journal->ResultOf("1")->summary(), "done");
  EXPECT_EQ(journal->FactsOf("a").last_generation(), 7u);
  EXPECT_EQ(journal->LastEventSequence(), 2u);
  EXPECT_EQ(journal->UnacknowledgedEvents().size(), 1u);
  ASSERT_TRUE(journal->Append(Fence("b", 8)).ok());
  const std::string before = Picture(*journal, kIds);
  // Not the rewritten file but the records behind it would be lost if it wrote to the old one.
  const std::string bytes = *ReadFile(Path());
  TemporaryFolder other;
  ASSERT_TRUE(WriteFileAtomically(other.path() / "journal", bytes, 0600).ok());
  EXPECT_EQ(Picture(**Journal::Open(other.path() / "journal"), kIds), before);
}

TEST_F(JournalTest, KeepsTheSwitchOfAnOpenIntentWhenItRewritesItself) {
  {
    const auto journal = Open();
    Append(*journal, {SwitchIntent("a", "2", 7)});
    xpb::JournalRecord large = Facts("b", 5, 5);
    large.mutable_facts()->set_workers_release(std::string(3 << 20, 'x'));
    Append(*journal, {large, large, large});
  }
  ASSERT_LT(fs::file_size(Path()), 8u << 20);
  const auto intent = Open()->IntentOf("2");
  ASSERT_TRUE(intent.has_value());
  EXPECT_EQ(intent->switch_().old_text(), "upstream {}");
}

TEST_F(JournalTest, SurvivesACrashBetweenRewritingAndRenaming) {
  std::string before;
  {
    const auto journal = Open();
    Append(*journal, OneOfEach());
    before = Picture(*journal, kIds);
  }
  ASSERT_TRUE(WriteFileAtomically(absl::StrCat(Path().string(), ".new"), "half", 0600).ok());
  EXPECT_EQ(Picture(*Open(), kIds), before);
}

TEST_F(JournalTest, IsOpenInOnePlaceOnly) {
  auto journal = Open();
  const auto second = Journal::Open(Path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailOf(second.status()).reason(), "STATE_IN_USE");
  EXPECT_FALSE(DetailOf(second.status()).cure().empty());
  journal.reset();
  EXPECT_TRUE(Journal::Open(Path()).ok());
}

TEST_F(JournalTest, LetsEpochsOnlyGrow) {
  {
    const auto journal = Open();
    Append(*journal, {Fence("a", 5), Fence("a", 4), Fence("b", 1)});
    EXPECT_EQ(journal->EpochOf("a"), 5u);
  }
  EXPECT_EQ(Open()->EpochOf("a"), 5u);
  EXPECT_EQ(Open()->EpochOf("b"), 1u);
}

TEST_F(JournalTest, KeepsEventsUntilTheyAreAcknowledged) {
  {
    const auto journal = Open();
    Append(*journal, {Event(1), Event(2), Event(3), Acknowledged(2)});
  }
  {
    const auto journal = Open();
    ASSERT_EQ(journal->UnacknowledgedEvents().size(), 1u);
    EXPECT_EQ(journal->UnacknowledgedEvents()[0].sequence(), 3u);
    Append(*journal, {Acknowledged(3)});
  }
  EXPECT_TRUE(Open()->UnacknowledgedEvents().empty());
  // The next one is 4, or the controller would take it for one it knows.
  EXPECT_EQ(Open()->LastEventSequence(), 3u);
}

TEST_F(JournalTest, NeverForgetsTheLastGenerationWritten) {
  {
    const auto journal = Open();
    // The step read its facts before the switch wrote generation 9, and commits them afterwards.
    Append(*journal, {Facts("a", 8, 8), SwitchIntent("a", "2", 9), Facts("a", 8, 8)});
    EXPECT_EQ(journal->FactsOf("a").last_generation(), 9u);
    EXPECT_EQ(journal->FactsOf("a").generation(), 8u);
  }
  EXPECT_EQ(Open()->FactsOf("a").last_generation(), 9u);
}

TEST_F(JournalTest, ForgetsOldResultsButNoOpenIntentAndNoRecentResult) {
  const auto journal = Open();
  Append(*journal, {Intent("a", "open"), Intent("b", "other"), Result("b", "other", "kept")});
  for (int i = 0; i < 200; ++i) {
    const std::string id = absl::StrCat("op-", i);
    Append(*journal, {Intent("a", id), Result("a", id, id)});
  }
  EXPECT_FALSE(journal->ResultOf("op-0").has_value());
  for (int i = 100; i < 200; ++i) {
    ASSERT_TRUE(journal->ResultOf(absl::StrCat("op-", i)).has_value()) << i;
  }
  EXPECT_TRUE(journal->IntentOf("open").has_value());
  EXPECT_TRUE(journal->ResultOf("other").has_value());
}

// Replay would take it for damage and cut off everything after it.
TEST_F(JournalTest, RefusesARecordThatReplayWouldRefuse) {
  {
    const auto journal = Open();
    xpb::JournalRecord huge = Facts("a", 1, 1);
    huge.mutable_facts()->set_workers_release(std::string((16 << 20) + 1, 'x'));
    EXPECT_EQ(journal->Append(huge).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(journal->FactsOf("a").generation(), 0u);
    Append(*journal, {Fence("a", 3)});
  }
  EXPECT_EQ(Open()->EpochOf("a"), 3u);
}

// In a child process; 0 when all is as it should be.
int WriteWithoutSpace(const fs::path& path) {
  auto journal = *Journal::Open(path);
  if (!journal->Append(Fence("a", 1)).ok()) return 1;
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{fs::file_size(path) + 20, RLIM_INFINITY};
  setrlimit(RLIMIT_FSIZE, &limit);
  // Some bytes fit, not all.
  if (journal->Append(SwitchIntent("a", "2", 7)).ok()) return 2;
  if (journal->IntentOf("2").has_value()) return 3;
  if (journal->FactsOf("a").last_generation() != 0) return 4;
  return journal->Append(Fence("a", 2)).ok() ? 0 : 5;
}

// A limit on the file's size stands for a full disk: the system refuses the write in the same
// place.
TEST_F(JournalTest, TakesNothingIntoAccountThatItCouldNotWrite) {
  EXPECT_EXIT(std::_Exit(WriteWithoutSpace(Path())), ::testing::ExitedWithCode(0), "");
  const auto journal = Open();
  EXPECT_EQ(journal->EpochOf("a"), 2u);
  EXPECT_FALSE(journal->IntentOf("2").has_value());
}

TEST_F(JournalTest, ForgetsAnIntentOnceItsApplicationHasAHigherEpoch) {
  const auto journal = Open();
  xpb::JournalRecord local = SwitchIntent("a", "1", 7);
  local.mutable_intent()->set_epoch(3);
  Append(*journal, {Fence("a", 3), local, Fence("b", 9)});
  EXPECT_EQ(journal->OpenIntents().size(), 1u);
  Append(*journal, {Fence("a", 4)});
  EXPECT_TRUE(journal->OpenIntents().empty());
  EXPECT_EQ(journal->FactsOf("a").last_generation(), 7u) << "a generation is never used again";
}

TEST_F(JournalTest, ListsOpenIntentsInTheOrderOfTheirRecords) {
  const auto journal = Open();
  Append(*journal, {Intent("a", "9"), Intent("a", "10"), Intent("b", "1")});
  std::vector<std::string> ids;
  for (const auto& intent : journal->OpenIntents()) ids.push_back(intent.operation_id());
  EXPECT_THAT(ids, ElementsAre("9", "10", "1"));
}

TEST_F(JournalTest, KeepsTheRecordsAfterDamageInTheMiddle) {
  size_t first = 0;
  {
    const auto journal = Open();
    Append(*journal, {Fence("a", 3)});
    first = fs::file_size(Path());
    Append(*journal, {Fence("b", 4), Facts("a", 2, 2), Fence("a", 8)});
  }
  std::string text = *ReadFile(Path());
  text[first + 9] ^= 0x40;
  Overwrite(text);
  for (int time = 0; time < 2; ++time) {
    const auto journal = Open();
    EXPECT_EQ(journal->EpochOf("a"), 8u);
    EXPECT_EQ(journal->EpochOf("b"), 0u) << "the damaged record itself is lost";
    EXPECT_EQ(journal->FactsOf("a").generation(), 2u);
  }
  EXPECT_EQ(*ReadFile(Path().string() + ".damaged"), text);
}

TEST_F(JournalTest, KnowsTheEpochOfAnIntentWhoseFenceWasDamaged) {
  size_t first = 0;
  {
    const auto journal = Open();
    Append(*journal, {Fence("a", 3)});
    first = fs::file_size(Path());
    xpb::JournalRecord intent = Intent("a", "1");
    intent.mutable_intent()->set_epoch(8);
    Append(*journal, {Fence("a", 8), intent});
  }
  std::string text = *ReadFile(Path());
  text[first + 9] ^= 0x40;
  Overwrite(text);
  EXPECT_EQ(Open()->EpochOf("a"), 8u);
}

// A snapshot of many applications is larger than the size at which the file is first rewritten.
TEST_F(JournalTest, IsNotRewrittenWithEachAppendWhenMuchIsTrue) {
  const auto journal = Open();
  xpb::JournalRecord large = Facts("a", 1, 1);
  for (int app = 0; app < 6; ++app) {
    large.mutable_facts()->set_app(absl::StrCat("app-", app));
    large.mutable_facts()->mutable_spec()->set_port_variable(std::string(1 << 20, 'x'));
    Append(*journal, {large});
  }
  struct stat before {};
  ASSERT_EQ(stat(Path().c_str(), &before), 0);
  for (int i = 0; i < 20; ++i) Append(*journal, {Fence("a", 10 + static_cast<uint64_t>(i))});
  struct stat after {};
  ASSERT_EQ(stat(Path().c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

}  // namespace
}  // namespace slipway::executor
