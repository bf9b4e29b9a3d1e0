// Backups of a real state folder: database, key, authority and blobs, while somebody else writes.
#include "controller/backup.h"

#include <fstream>
#include <sys/stat.h>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/blob_store.h"
#include "common/durations.h"
#include "common/status.h"
#include "controller/access/audit.h"
#include "controller/state_folder.h"
#include "controller/store/secret_box.h"
#include "controller/store/sql_store.h"
#include "controller/store/sqlite.h"
#include "tests/support/temporary_folder.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The real time, for certificates are judged by it, and what a test adds.
class LaterClock final : public Clock {
 public:
  Monotonic Now() override { return SystemClock().Now(); }
  Wall WallNow() override { return std::chrono::floor<seconds>(begin_) + later_; }
  void SleepFor(std::chrono::nanoseconds) override {}
  void Advance(seconds time) { later_ += time; }

 private:
  const Wall begin_ = SystemClock().WallNow();
  seconds later_{0};
};

// A controller's state, open as the daemon has it.
struct Daemon {
  Daemon(const fs::path& root, Clock& clock) : folder(root) {
    lock = folder.Lock().value();
    box = SecretBox::Open(folder.Key()).value();
    store = SqlStore::Open(folder.Database(), clock).value();
    blobs = BlobStore::Open(folder.Blobs()).value();
    certificates = Certificates::Open(folder.Tls(), {}, *store, clock).value();
  }

  StateFolder folder;
  UniqueFd lock;
  std::unique_ptr<SecretBox> box;
  std::unique_ptr<SqlStore> store;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<Certificates> certificates;
};

class BackupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.set_state(root_ / "state");
    daemon_.emplace(root_ / "state", clock_);
    pb::ApplicationSpec spec;
    spec.set_app("gifty");
    ASSERT_TRUE(daemon_->store->ApplyApplication(spec, {}, "ann").ok());
    ASSERT_TRUE(
        daemon_->store
            ->PutEnvironment("gifty", 0, daemon_->box->Seal("gifty", 1, "TOKEN=x"), {}, "ann")
            .ok());
    auto writer = daemon_->blobs->Create(Sha256Of("file")).value();
    ASSERT_TRUE(writer->Append("file").ok());
    ASSERT_TRUE(writer->Commit().ok());
  }

  absl::StatusOr<Backup> Make(int keep = 0) {
    return MakeBackup(config_, root_ / "backups", keep, clock_);
  }
  // To another folder, as on a new machine.
  absl::Status Restore(const fs::path& from) {
    restored_.set_state(root_ / "new");
    return RestoreBackup(restored_, from, clock_);
  }
  std::vector<std::string> Names(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& one : fs::directory_iterator(folder)) names.push_back(one.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  slipway::testing::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
  LaterClock clock_;
  config::v1::ControllerConfig config_;
  config::v1::ControllerConfig restored_;
  std::optional<Daemon> daemon_;
};

TEST_F(BackupTest, HasEverythingThatAnotherMachineNeeds) {
  const auto backup = Make();
  ASSERT_TRUE(backup.ok()) << backup.status();
  EXPECT_EQ(NewestBackup(*daemon_->store), clock_.WallNow());
  struct stat facts {};
  ASSERT_EQ(stat(backup->folder.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((backup->folder / "state.db").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);

  ASSERT_TRUE(Restore(backup->folder).ok());
  Daemon restored(root_ / "new", clock_);
  EXPECT_EQ(restored.store->GetApplication("gifty")->environment_revision, 1u);
  const auto environment = restored.store->GetEnvironment("gifty", 1);
  EXPECT_EQ(*restored.box->Unseal("gifty", 1, environment->sealed), "TOKEN=x");
  EXPECT_EQ(*restored.blobs->Read(Sha256Of("file")), "file");
  EXPECT_EQ(*restored.certificates->AuthorityPem(), *daemon_->certificates->AuthorityPem());
  EXPECT_TRUE(restored.store->VerifyHistory().ok());
  EXPECT_EQ(restored.store->ListHistory("", 0, 1)->front().action, "restore");
  EXPECT_EQ(daemon_->store->ListHistory("", 0, 1)->front().action, "backup");
}

TEST_F(BackupTest, IsConsistentWhileTheControllerWrites) {
  for (int i = 0; i < 5; ++i) {
    const uint64_t before = daemon_->store->ListHistory("", 0, 1)->front().sequence;
    std::thread writer([&] {
      for (int row = 0; row < 50; ++row) {
        ASSERT_TRUE(daemon_->store->AppendHistory({"gifty", "ann", "test", "row", "ok"}).ok());
      }
    });
    clock_.Advance(seconds(1));
    const auto backup = Make();
    writer.join();
    ASSERT_TRUE(backup.ok()) << backup.status();
    const auto copy = SqlStore::Open(backup->folder / "state.db", clock_);
    ASSERT_TRUE((*copy)->VerifyHistory().ok());
    EXPECT_GE((*copy)->ListHistory("", 0, 1)->front().sequence, before);
  }
}

TEST_F(BackupTest, KeepsAsManyAsItIsTold) {
  fs::create_directories(root_ / "backups" / "of something else");
  for (int i = 0; i < 4; ++i) {
    const auto backup = Make(2);
    ASSERT_TRUE(backup.ok()) << backup.status();
    EXPECT_EQ(backup->removed, i < 2 ? 0 : 1);
    clock_.Advance(hours(24));
  }
  EXPECT_THAT(Names(root_ / "backups"), SizeIs(3));
  EXPECT_EQ(Names(root_ / "backups").back(), "of something else");
}

TEST_F(BackupTest, OfABrokenHistoryIsNoneAndLeavesNothing) {
  const auto database = SqliteDatabase::Open(config_.state() + "/state.db");
  ASSERT_TRUE((*database)->Execute("DROP TRIGGER history_holds").ok());
  ASSERT_TRUE((*database)->Execute("UPDATE history SET actor='eve' WHERE sequence=1").ok());
  EXPECT_TRUE(absl::IsDataLoss(Make().status()));
  EXPECT_THAT(Names(root_ / "backups"), SizeIs(0));
  EXPECT_EQ(NewestBackup(*daemon_->store), std::nullopt);
}

TEST_F(BackupTest, TakesAwayWhatAKilledOneLeftAndWaitsForNoOther) {
  const StateFolder partial(root_ / "backups" / ".partial");
  fs::create_directories(partial.Root() / "blobs" / "ab");
  std::ofstream(partial.Root() / "blobs" / "ab" / "cdef") << "half a blob";
  std::ofstream(partial.Database()) << "half a database";
  {
    const auto another = partial.Lock();
    EXPECT_EQ(DetailOf(Make().status()).reason(), "BACKUP_RUNNING");
  }
  const auto backup = Make();
  ASSERT_TRUE(backup.ok()) << backup.status();
  EXPECT_FALSE(fs::exists(backup->folder / "blobs" / "ab"));
  EXPECT_THAT(Names(root_ / "backups"), SizeIs(1));
}

TEST_F(BackupTest, OfAnotherSchemaIsRefused) {
  const auto database = SqliteDatabase::Open(config_.state() + "/state.db");
  ASSERT_TRUE((*database)->Execute("PRAGMA user_version=1").ok());
  EXPECT_EQ(DetailOf(Make().status()).reason(), "SCHEMA_DIFFERS");
}

TEST_F(BackupTest, IsNotRestoredOverAState) {
  const auto backup = Make();
  ASSERT_TRUE(backup.ok());
  EXPECT_EQ(DetailOf(RestoreBackup(config_, backup->folder, clock_)).reason(), "STATE_IN_USE");
  daemon_.reset();
  const absl::Status refused = RestoreBackup(config_, backup->folder, clock_);
  EXPECT_EQ(DetailOf(refused).reason(), "STATE_EXISTS");
  EXPECT_THAT(DetailOf(refused).cure(), HasSubstr("move what is in it away"));
  EXPECT_EQ(DetailOf(Restore(root_ / "state" / "blobs")).reason(), "NOT_A_BACKUP");
}

TEST_F(BackupTest, ARestoreThatWasKilledIsRunAgain) {
  const auto backup = Make();
  ASSERT_TRUE(backup.ok());
  fs::create_directories(root_ / "new" / "blobs");
  std::ofstream(root_ / "new" / "state.db.restored") << "half a database";
  std::ofstream(root_ / "new" / "state.db.restored-wal") << "half a log";
  std::ofstream(root_ / "new" / "key") << "half a key";
  ASSERT_TRUE(Restore(backup->folder).ok());
  Daemon restored(root_ / "new", clock_);
  EXPECT_TRUE(restored.store->GetApplication("gifty").ok());
}

TEST_F(BackupTest, WhatHostsRememberFromAfterItCountsAsLostAndNothingElseDoes) {
  const auto backup = Make();
  ASSERT_TRUE(backup.ok());
  DialOptions dial;
  ReleaseFiles files(*daemon_->blobs);
  Fleet fleet(dial, *daemon_->store, files, clock_, {});
  Audit audit(*daemon_->store, *daemon_->certificates, fleet, clock_);
  const auto before = audit.SignedHead();
  clock_.Advance(seconds(10));
  ASSERT_TRUE(daemon_->store->AppendHistory({"gifty", "ann", "test", "row", "ok"}).ok());
  const auto lost = audit.SignedHead();
  EXPECT_FALSE(audit.WasLostByRestore(*lost)) << "nothing was restored here";
  clock_.Advance(seconds(10));
  const absl::Status done = Restore(backup->folder);
  ASSERT_TRUE(done.ok()) << done;

  Daemon restored(root_ / "new", clock_);
  Audit now(*restored.store, *restored.certificates, fleet, clock_);
  EXPECT_EQ(now.ProblemWith(*lost), "");
  EXPECT_TRUE(now.WasLostByRestore(*lost));
  // The row about the backup itself is in no backup.
  EXPECT_TRUE(now.WasLostByRestore(*before));
  EXPECT_THAT(now.Verify()->problems(), SizeIs(0));
  EXPECT_EQ(FromProto(now.Verify()->restore_time()), clock_.WallNow());

  clock_.Advance(seconds(10));
  const auto later = now.SignedHead();
  EXPECT_FALSE(now.WasLostByRestore(*later));
  EXPECT_EQ(now.ProblemWith(*later), "");
  xpb::HistoryHead forged = *later;
  forged.set_sequence(forged.sequence() + 1);
  EXPECT_NE(now.ProblemWith(forged), "") << "not signed";

  // A restore that somebody only claims.
  store::v1::RestoreRecord claim;
  claim.set_sequence(0);
  *claim.mutable_time() = ToProto(clock_.WallNow() + hours(1));
  ASSERT_TRUE(restored.store
                  ->PutRecord({kRestoreKind, kNewestId, claim.SerializeAsString(), std::nullopt},
                              std::nullopt)
                  .ok());
  EXPECT_FALSE(now.WasLostByRestore(*later));
  EXPECT_NE(now.ProblemWith(*lost), "");
}

}  // namespace
}  // namespace slipway::controller
