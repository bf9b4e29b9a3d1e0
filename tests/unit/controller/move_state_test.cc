// From SQLite to PostgreSQL and back: moving, and backups of the database that is shared. On a real server.
#include "controller/move_state.h"

#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/blob_store.h"
#include "common/status.h"
#include "controller/access/certificates.h"
#include "controller/backup.h"
#include "controller/state_folder.h"
#include "controller/store/migrations.h"
#include "controller/store/release_files.h"
#include "controller/store/secret_box.h"
#include "controller/store/sqlite.h"
#include "controller/store/table_copy.h"
#include "tests/contract/store_contract.h"
#include "tests/support/postgres_server.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/temporary_folder.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using slipway::testing::PostgresServer;
using slipway::testing::TcpProxy;
using ::testing::SizeIs;

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason(); }

// Something in every table.
void Populate(Store& store) {
  ASSERT_TRUE(store.ApplyApplication(SpecOf("gifty"), {"r1", "hash"}, "ann").ok());
  ASSERT_TRUE(store.PutEnvironment("gifty", 0, std::string("sealed\0\xff", 8), {}, "ann").ok());
  ASSERT_TRUE(store.CreateRelease(ReleaseOf("gifty", "aaaaaaaaaaaa"), {}, "ann").ok());
  for (int i = 0; i < 3; ++i) {
    const auto id = store.CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {})->id;
    Transition transition;
    transition.deployment = store.GetDeployment("gifty", id).value();
    transition.deployment.message = "d'été \\ ?";
    StepRecord step;
    step.name = "preflight";
    step.evidence.mutable_health()->set_last_body(std::string(3'000, 'x'));
    transition.steps.push_back({0, 0, step});
    for (int n = 0; n < 300; ++n) transition.events.emplace_back().mutable_log()->set_text("line");
    ASSERT_TRUE(store.RecordTransition(transition).ok());
    if (i == 2) continue;
    ASSERT_TRUE(
        store.RecordTransition(EndOf(transition.deployment, pb::DEPLOYMENT_STATE_SUCCEEDED)).ok());
  }
  ASSERT_TRUE(store.CreateRecord({"token", "a", std::string("\0x", 2), {}}, {}).ok());
  xpb::LocalEvent event;
  event.set_sequence(7);
  event.set_app("gifty");
  ASSERT_TRUE(store.RecordLocalEvents("web-1", {event}).ok());
}

class MoveStateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = ConfigOf(root_ / "state", database_);
    const auto store = SqlStore::Open(state_.Database(), SystemClock()).value();
    Populate(*store);
    ASSERT_TRUE(SecretBox::Open(state_.Key()).ok());
    ASSERT_TRUE(Certificates::Open(state_.Tls(), {}, *store, SystemClock()).ok());
    const auto blobs = BlobStore::Open(state_.Blobs()).value();
    const auto writer = blobs->Create(Sha256Of("file")).value();
    ASSERT_TRUE(writer->Append("file").ok());
    ASSERT_TRUE(writer->Commit().ok());
  }

  config::v1::ControllerConfig ConfigOf(const fs::path& state, const std::string& database,
                                        int port = 0) {
    fs::create_directories(state);
    const PostgresOptions options = server_.TcpOptions(database, port);
    config::v1::ControllerConfig config;
    config.set_state(state);
    config.mutable_database()->set_postgres(options.conninfo);
    config.mutable_database()->set_password_file(options.password_file);
    return config;
  }
  absl::Status Move() { return MoveToPostgres(config_, SystemClock()); }

  // The names of the tables in which either file has a row that the other has not.
  std::set<std::string> Differences(const fs::path& one, const fs::path& other) {
    const auto database = SqliteDatabase::Open(one).value();
    EXPECT_TRUE(database->Execute(absl::StrCat("ATTACH '", other.string(), "' AS other")).ok());
    std::set<std::string> tables;
    for (const char* table : kTables) {
      for (const char* sides :
           {"main.? EXCEPT SELECT * FROM other.?", "other.? EXCEPT SELECT * FROM main.?"}) {
        Statement rows(*database,
                       absl::StrCat("SELECT * FROM ", absl::StrReplaceAll(sides, {{"?", table}})));
        const auto row = rows.Step();
        EXPECT_TRUE(row.ok()) << row.status();
        if (row.ok() && *row) tables.insert(table);
      }
    }
    return tables;
  }
  fs::path FileOf(const std::string& database) {
    const fs::path file = root_ / absl::StrCat(database, ".db");
    fs::remove(file);
    const auto from =
        PostgresDatabase::Open(server_.Options(database), PostgresDatabase::Fence::kNone).value();
    const absl::Status copied = CopyToFile(*from, file);
    EXPECT_TRUE(copied.ok()) << copied;
    return file;
  }

  PostgresServer& server_ = PostgresServer::Shared();
  slipway::testing::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
  const StateFolder state_{root_ / "state"};
  const std::string database_ = server_.NewDatabase();
  config::v1::ControllerConfig config_;
};

TEST_F(MoveStateTest, TakesEveryRowAndFileAlong) {
  const absl::Status moved = Move();
  ASSERT_TRUE(moved.ok()) << moved;
  EXPECT_EQ(Differences(state_.Database(), FileOf(database_)),
            (std::set<std::string>{"history", "history_head"}))
      << "the row that tells of it";
  const auto store = LeadingStore(server_.Options(database_));
  EXPECT_EQ(store->ListHistory("", 0, 1)->front().action, "store migrate");
  EXPECT_TRUE(store->VerifyHistory().ok());
  const auto blobs = BlobStore::Open(root_ / "elsewhere").value();
  ASSERT_TRUE(ReleaseFiles(*blobs, *store, SystemClock()).Fetch({Sha256Of("file")}).ok());
  EXPECT_EQ(*blobs->Read(Sha256Of("file")), "file");

  // What runs goes on, and new numbers come after the old ones.
  const DeploymentRecord running = store->GetDeployment("gifty", "-").value();
  ASSERT_TRUE(store->RecordTransition(EndOf(running, pb::DEPLOYMENT_STATE_SUCCEEDED)).ok());
  const auto next = store->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa", "next"), {});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(store->GetDeployment("gifty", "-")->id, "next");
  EXPECT_TRUE(store->CreateRelease(ReleaseOf("gifty", "bbbbbbbbbbbb"), {}, "ann").ok());
}

TEST_F(MoveStateTest, IsDoneOnceAndNotBesideAController) {
  {
    const auto lock = state_.Lock();
    EXPECT_EQ(ReasonOf(Move()), "STATE_IN_USE");
  }
  const auto leadership = Leadership::Open(server_.Options(database_)).value();
  const uint64_t epoch = leadership->Take("a", "unix:///a", std::chrono::hours(1)).value();
  EXPECT_EQ(ReasonOf(Move()), "ANOTHER_LEADS");
  ASSERT_TRUE(leadership->Release(epoch).ok());
  EXPECT_TRUE(Move().ok());
  EXPECT_EQ(leadership->Current()->holder, "");
  EXPECT_EQ(ReasonOf(Move()), "DATABASE_NOT_EMPTY");
  config_.set_state(root_ / "none");
  EXPECT_EQ(ReasonOf(Move()), "NO_STATE");
  config_.set_state(state_.Root());
  config_.clear_database();
  EXPECT_EQ(ReasonOf(Move()), "NO_DATABASE");
}

TEST_F(MoveStateTest, CutOffAnywhereIsRunAgain) {
  TcpProxy proxy(server_.port());
  int failures = 0;
  for (int sending = 1;; sending += 11) {
    const std::string database = server_.NewDatabase();
    config_ = ConfigOf(state_.Root(), database, proxy.port());
    proxy.CutAt(sending, TcpProxy::Cut::kBefore);
    const bool moved = Move().ok();
    const bool reached = proxy.HasCut();
    proxy.CutAt(0, TcpProxy::Cut::kBefore);
    if (!moved) {
      ++failures;
      const auto leadership = Leadership::Open(server_.Options(database)).value();
      const auto leader = leadership->Current();
      if (!leader->holder.empty()) {
        ASSERT_TRUE(leadership->Release(leader->epoch).ok());
      }
      const absl::Status again = Move();
      ASSERT_TRUE(again.ok()) << sending << again;
    }
    ASSERT_THAT(Differences(state_.Database(), FileOf(database)), SizeIs(2)) << sending;
    if (!reached) break;
  }
  EXPECT_GT(failures, 2);
}

TEST_F(MoveStateTest, OfABrokenHistoryLeavesTheDatabaseEmpty) {
  {
    const auto database = SqliteDatabase::Open(state_.Database()).value();
    ASSERT_TRUE(database->Execute("DROP TRIGGER history_holds").ok());
    ASSERT_TRUE(database->Execute("UPDATE history SET actor='eve' WHERE sequence=1").ok());
  }
  EXPECT_TRUE(absl::IsDataLoss(Move()));
  EXPECT_TRUE(CheckPostgresEmpty(config_, SystemClock()).ok());
}

TEST_F(MoveStateTest, KnowsEveryTableThereIs) {
  const auto database = SqliteDatabase::Open(state_.Database()).value();
  Statement list(*database,
                 "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'");
  std::set<std::string> tables;
  while (list.Step().value()) tables.insert(list.Text(0));
  EXPECT_EQ(tables, std::set<std::string>(std::begin(kTables), std::end(kTables)));
  for (const std::string& table : tables) {
    Statement row(*database, absl::StrCat("SELECT 1 FROM ", table));
    EXPECT_TRUE(row.Step().value()) << "these tests have nothing in " << table;
  }
}

TEST_F(MoveStateTest, ABackupOfASharedDatabaseIsRestoredIntoAnother) {
  ASSERT_TRUE(Move().ok());
  fs::rename(state_.Database(), root_ / "old.db");
  const auto store = LeadingStore(server_.Options(database_));
  // Another controller has made this release: its file is not in this one's folder.
  const auto others = BlobStore::Open(root_ / "others").value();
  const auto writer = others->Create(Sha256Of("other")).value();
  ASSERT_TRUE(writer->Append("other").ok());
  ASSERT_TRUE(writer->Commit().ok());
  ASSERT_TRUE(ReleaseFiles(*others, *store, SystemClock()).Publish({Sha256Of("other")}).ok());
  std::atomic<bool> stop{false};
  std::thread writes([&] {
    while (!stop) EXPECT_TRUE(store->AppendHistory({"gifty", "ann", "act", "row", "ok"}).ok());
  });
  const auto backup = MakeBackup(config_, root_ / "backups", 0, SystemClock());
  stop = true;
  writes.join();
  ASSERT_TRUE(backup.ok()) << backup.status();
  EXPECT_TRUE(NewestBackup(*store).has_value());
  EXPECT_TRUE(store->VerifyHistory().ok());
  EXPECT_TRUE(store->AppendHistory({"gifty", "ann", "act", "row", "ok"}).ok());
  EXPECT_FALSE(fs::exists(backup->folder / "blobs" / "tmp"));

  EXPECT_EQ(ReasonOf(RestoreBackup(config_, backup->folder, SystemClock())), "DATABASE_NOT_EMPTY");
  const std::string fresh = server_.NewDatabase();
  const auto restored = ConfigOf(root_ / "new", fresh);
  const absl::Status done = RestoreBackup(restored, backup->folder, SystemClock());
  ASSERT_TRUE(done.ok()) << done;
  const auto again = LeadingStore(server_.Options(fresh));
  EXPECT_TRUE(again->VerifyHistory().ok());
  EXPECT_EQ(again->ListHistory("", 0, 1)->front().action, "restore");
  // The restore is told in the history and in a record of its own, and nothing else has changed.
  EXPECT_EQ(Differences(backup->folder / "state.db", FileOf(fresh)),
            (std::set<std::string>{"history", "history_head", "records"}));
  const auto blobs = BlobStore::Open(root_ / "elsewhere").value();
  ASSERT_TRUE(ReleaseFiles(*blobs, *again, SystemClock())
                  .Fetch({Sha256Of("file"), Sha256Of("other")})
                  .ok());
  EXPECT_EQ(*blobs->Read(Sha256Of("file")), "file");
  EXPECT_EQ(*blobs->Read(Sha256Of("other")), "other");
  EXPECT_FALSE(fs::exists(root_ / "new" / "state.db"));
  EXPECT_FALSE(fs::exists(root_ / "new" / "state.db.restored"));

  // A backup is a backup: what was shared fits one controller, too.
  config::v1::ControllerConfig alone;
  alone.set_state(root_ / "alone");
  ASSERT_TRUE(RestoreBackup(alone, backup->folder, SystemClock()).ok());
  const auto file = SqlStore::Open(root_ / "alone" / "state.db", SystemClock()).value();
  EXPECT_EQ(file->GetDeployment("gifty", "-")->id, store->GetDeployment("gifty", "-")->id);
}

TEST_F(MoveStateTest, ABackupIsNotRestoredOverTheKeyOfAnotherState) {
  ASSERT_TRUE(Move().ok());
  const auto backup = MakeBackup(config_, root_ / "backups", 0, SystemClock());
  ASSERT_TRUE(backup.ok()) << backup.status();
  const auto other = ConfigOf(root_ / "other", server_.NewDatabase());
  ASSERT_TRUE(SecretBox::Open(root_ / "other" / "key").ok());
  EXPECT_EQ(ReasonOf(RestoreBackup(other, backup->folder, SystemClock())), "STATE_EXISTS");
}

}  // namespace
}  // namespace slipway::controller
