// What is not about deployments: history, records, many who write. On every back end.
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/contract/store_fixture.h"

namespace slipway::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

class StoreRecords : public StoreContract {};

TEST_P(StoreRecords, PagesThroughHistoryOfOneApplicationAndOfAll) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(store_->AppendHistory({"a", "ann", "act", absl::StrCat(i), "ok"}).ok());
    ASSERT_TRUE(store_->AppendHistory({"b", "ann", "act", absl::StrCat(i), "ok"}).ok());
  }
  std::vector<std::string> subjects;
  uint64_t before = 0;
  while (true) {
    const auto page = store_->ListHistory("a", before, 2);
    if (page->empty()) break;
    for (const auto& row : *page) subjects.push_back(row.subject);
    before = page->back().sequence;
  }
  EXPECT_THAT(subjects, ElementsAre("4", "3", "2", "1", "0"));
  EXPECT_THAT(*store_->ListHistory("", 0, 100), SizeIs(10));
  EXPECT_EQ(store_->ListHistory("", 0, 1)->at(0).hash.size(), 32u);
}

TEST_P(StoreRecords, KeepsRecordsByKindAndId) {
  ASSERT_TRUE(store_->CreateRecord({"token", "b", "2", {}}, {}).ok());
  ASSERT_TRUE(store_->CreateRecord({"token", "a", std::string("1\0x", 3), {}}, {}).ok());
  ASSERT_TRUE(store_->CreateRecord({"host", "a", "3", {}}, {}).ok());
  EXPECT_EQ(*store_->GetRecord("token", "a"), std::string("1\0x", 3));
  EXPECT_TRUE(absl::IsAlreadyExists(store_->CreateRecord({"token", "a", "4", {}}, {})));
  ASSERT_TRUE(store_->PutRecord({"token", "a", "5", {}}, {}).ok());
  const auto all = store_->ListRecords("token", "", 10).value();
  EXPECT_THAT(all, ElementsAre(Pair("a", "5"), Pair("b", "2")));
  EXPECT_THAT(store_->ListRecords("token", "a", 10).value(), SizeIs(1));
  EXPECT_TRUE(absl::IsNotFound(store_->GetRecord("token", "c").status()));
}

TEST_P(StoreRecords, GivesARecordToOneOfManyWhoTakeIt) {
  ASSERT_TRUE(store_->CreateRecord({"enrolment", "x", "web-1", {}}, {}).ok());
  std::atomic<int> got{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { got += store_->TakeRecord("enrolment", "x", {}).ok() ? 1 : 0; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(got, 1);
}

TEST_P(StoreRecords, ForgetsRecordsWhenTheyExpire) {
  const Time now = SystemClock().WallNow();
  ASSERT_TRUE(store_->CreateRecord({"jwt", "old", "1", now - std::chrono::seconds(1)}, {}).ok());
  ASSERT_TRUE(store_->CreateRecord({"jwt", "new", "2", now + std::chrono::hours(1)}, {}).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->GetRecord("jwt", "old").status()));
  EXPECT_TRUE(absl::IsNotFound(store_->TakeRecord("jwt", "old", {}).status()));
  EXPECT_THAT(store_->ListRecords("jwt", "", 10).value(), SizeIs(1));
  // Its id is not free before it is swept away.
  EXPECT_TRUE(absl::IsAlreadyExists(store_->CreateRecord({"jwt", "old", "1", {}}, {})));
  ASSERT_TRUE(store_->RemoveExpiredRecords().ok());
  EXPECT_TRUE(store_->CreateRecord({"jwt", "old", "1", {}}, {}).ok());
  EXPECT_TRUE(store_->GetRecord("jwt", "new").ok());
}

TEST_P(StoreRecords, ForgetsRequestIdsWhenTheyAreOld) {
  const Time now = SystemClock().WallNow();
  ASSERT_TRUE(store_->ApplyApplication(SpecOf("gifty"), {"r1", "hash"}, "ann").ok());
  ASSERT_TRUE(store_->RemoveRequests(now - std::chrono::hours(1)).ok());
  EXPECT_TRUE(store_->FindRequest("gifty", {"r1", "hash"})->has_value());
  ASSERT_TRUE(store_->RemoveRequests(now + std::chrono::hours(1)).ok());
  EXPECT_FALSE(store_->FindRequest("gifty", {"r1", "hash"})->has_value());
  // It may be used again, for anything.
  EXPECT_FALSE(store_->FindRequest("gifty", {"r1", "another hash"})->has_value());
}

TEST_P(StoreRecords, ForgetsTheEventsOfOldDeploymentsButForTheirEnd) {
  const Time now = SystemClock().WallNow();
  ASSERT_TRUE(store_->ApplyApplication(SpecOf("gifty"), {}, "ann").ok());
  ASSERT_TRUE(store_->CreateRelease(ReleaseOf("gifty", "aaaaaaaaaaaa"), {}, "ann").ok());
  const auto running = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {});
  const auto waiting = store_->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {});
  ASSERT_TRUE(waiting.ok()) << waiting.status();
  ASSERT_TRUE(waiting->queued);
  pb::Event line;
  line.mutable_log()->set_text("a line");
  for (const std::string& id : {running->id, waiting->id}) {
    ASSERT_TRUE(store_->AppendEvents("gifty", id, {line, line}).ok());
  }
  ASSERT_TRUE(store_->RequestCancel("gifty", waiting->id, {}, "ann").value());
  const auto events = [&](const std::string& id) {
    return store_->ListEvents("gifty", id, 0, 1000).value();
  };
  const size_t before = events(running->id).size();
  ASSERT_GT(events(waiting->id).size(), 2u);
  // It has not ended for so long yet.
  EXPECT_FALSE(store_->RemoveEvents(now - std::chrono::hours(1)).value());
  ASSERT_GT(events(waiting->id).size(), 2u);
  EXPECT_FALSE(store_->RemoveEvents(now + std::chrono::hours(1)).value());
  ASSERT_THAT(events(waiting->id), SizeIs(1));
  EXPECT_EQ(events(waiting->id)[0].state().state(), pb::DEPLOYMENT_STATE_CANCELLED);
  EXPECT_EQ(events(waiting->id)[0].sequence(),
            store_->GetDeploymentHead("gifty", waiting->id)->last_event);
  EXPECT_THAT(events(running->id), SizeIs(before));
}

TEST_P(StoreRecords, WritesARecordAndItsHistoryTogetherWithWhereItCameFrom) {
  const HistoryDraft draft{"a", Actor("ann", "github:acme/a run 1"), "token create", "tokens/x",
                           "ok"};
  ASSERT_TRUE(store_->CreateRecord({"token", "x", "1", {}}, draft).ok());
  EXPECT_FALSE(store_->CreateRecord({"token", "x", "1", {}}, draft).ok());
  ASSERT_TRUE(store_->TakeRecord("token", "x", draft).ok());
  EXPECT_FALSE(store_->TakeRecord("token", "x", draft).ok());
  const auto rows = store_->ListHistory("a", 0, 10).value();
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].origin, "github:acme/a run 1");
  EXPECT_TRUE(store_->VerifyHistory().ok());
}

TEST_P(StoreRecords, SurvivesManyWritersAndReaders) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        EXPECT_TRUE(store_->AppendHistory({absl::StrCat(t), "ann", "act", "x", "ok"}).ok());
        EXPECT_TRUE(store_->ListHistory("", 0, 5).ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(store_->ListHistory("", 0, 1)->at(0).sequence, 100u);
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreRecords, ::testing::ValuesIn(Backends()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slipway::controller
