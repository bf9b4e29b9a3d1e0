#include "executor/host_watch.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

class HostWatchTest : public ::testing::Test {
 protected:
  std::vector<uint64_t> SequencesAfterRecording(const std::string& journal_name, int events) {
    auto journal = Journal::Open(folder_.path() / journal_name);
    EXPECT_TRUE(journal.ok()) << journal.status();
    HostWatch watch(**journal, clock_);
    for (int i = 0; i < events; ++i) EXPECT_TRUE(watch.Record({}).ok());
    std::vector<uint64_t> sequences;
    for (const xpb::LocalEvent& event : (*journal)->UnacknowledgedEvents()) {
      sequences.push_back(event.sequence());
    }
    return sequences;
  }

  slipway::testing::TemporaryFolder folder_;
  slipway::testing::FakeClock clock_;
};

TEST_F(HostWatchTest, NumbersEventsOfOneMomentInTheirOrder) {
  const auto sequences = SequencesAfterRecording("journal", 3);
  ASSERT_EQ(sequences.size(), 3u);
  EXPECT_EQ(sequences[1], sequences[0] + 1);
  EXPECT_EQ(sequences[2], sequences[1] + 1);
}

TEST_F(HostWatchTest, GoesOnAboveWhatWasSeenWhenTheJournalIsLost) {
  const auto before = SequencesAfterRecording("journal", 3);
  clock_.SleepFor(std::chrono::seconds(1));
  const auto after = SequencesAfterRecording("journal of the new installation", 1);
  EXPECT_GT(after.front(), before.back());
}

}  // namespace
}  // namespace slipway::executor
