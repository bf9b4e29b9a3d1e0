#include "executor/facts.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

TEST(Facts, MakeASlotOnceAndFindItAgain) {
  xpb::ApplicationFacts facts;
  EXPECT_EQ(FindSlot(facts, pb::SLOT_GREEN), nullptr);
  MutableSlot(facts, pb::SLOT_GREEN).set_release("0123456789ab");
  MutableSlot(facts, pb::SLOT_BLUE).set_release("ba9876543210");
  MutableSlot(facts, pb::SLOT_GREEN).set_warm_until(5);
  EXPECT_EQ(facts.slots_size(), 2);
  ASSERT_NE(FindSlot(facts, pb::SLOT_GREEN), nullptr);
  EXPECT_EQ(FindSlot(facts, pb::SLOT_GREEN)->release(), "0123456789ab");
  EXPECT_EQ(FindSlot(facts, pb::SLOT_GREEN)->warm_until(), 5);
}

TEST(Facts, FindAReleaseByItsId) {
  xpb::ApplicationFacts facts;
  facts.add_releases()->set_release("0123456789ab");
  EXPECT_NE(FindRelease(facts, "0123456789ab"), nullptr);
  EXPECT_EQ(FindRelease(facts, "0123456789a"), nullptr);
}

TEST(Facts, KeepOldWorkersWithTheirStartTimes) {
  xpb::SlotFacts slot;
  SetOldWorkers(slot, {{10, 111}, {20, 222}});
  SetOldWorkers(slot, {{30, 333}});
  const auto workers = OldWorkersOf(slot);
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(workers[0].pid, 30);
  EXPECT_EQ(workers[0].start_ticks, 333u);
}

TEST(Facts, ThatAreCommittedAreThereAfterARestart) {
  testing::TemporaryFolder folder;
  xpb::ApplicationFacts facts;
  facts.set_app("gifty");
  facts.set_active_slot(pb::SLOT_GREEN);
  {
    auto journal = Journal::Open(folder.path() / "journal");
    ASSERT_TRUE(Commit(**journal, facts).ok());
  }
  EXPECT_EQ((*Journal::Open(folder.path() / "journal"))->FactsOf("gifty").active_slot(),
            pb::SLOT_GREEN);
}

}  // namespace
}  // namespace slipway::executor
