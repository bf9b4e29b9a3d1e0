// What PostgreSQL's store promises beyond the contract: who does not lead writes nothing, lost connections and servers that restart
// heal, and whatever was answered is true. On a real server.
#include <atomic>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/mutex.h"
#include "common/status.h"
#include "controller/store/held_lead.h"
#include "controller/store/store_listener.h"
#include "tests/contract/store_contract.h"
#include "tests/support/postgres_server.h"
#include "tests/support/tcp_proxy.h"

namespace slipway::controller {
namespace {

using slipway::testing::PostgresServer;
using slipway::testing::TcpProxy;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason(); }

class PostgresStore : public ::testing::Test {
 protected:
  std::unique_ptr<SqlStore> Open() {
    auto store = SqlStore::Open(options_, SystemClock());
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(store).value();
  }
  absl::Status Append(SqlStore& store, const std::string& subject) {
    return store.AppendHistory({"gifty", "ann", "act", subject, "ok"});
  }
  uint64_t Rows(SqlStore& store) {
    const auto newest = store.ListHistory("", 0, 1);
    EXPECT_TRUE(newest.ok()) << newest.status();
    return newest.ok() && !newest->empty() ? newest->front().sequence : 0;
  }
  void MakeRelease(SqlStore& store) {
    ASSERT_TRUE(store.ApplyApplication(SpecOf("gifty"), {}, "ann").ok());
    ASSERT_TRUE(store.CreateRelease(ReleaseOf("gifty", "aaaaaaaaaaaa"), {}, "ann").ok());
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string database_ = server_.NewDatabase();
  const PostgresOptions options_ = server_.Options(database_);
};

TEST_F(PostgresStore, WritesForNobodyButTheLeader) {
  const auto first = Open();
  const auto second = Open();
  const auto leadership = Leadership::Open(options_).value();
  EXPECT_EQ(ReasonOf(Append(*first, "early")), "NOT_LEADER");
  const uint64_t epoch = leadership->Take("a", "unix:///a", seconds(60)).value();
  EXPECT_EQ(ReasonOf(Append(*first, "early")), "NOT_LEADER") << "before it knows";
  ASSERT_TRUE(first->Lead(epoch).ok());
  EXPECT_TRUE(Append(*first, "led").ok());
  EXPECT_TRUE(absl::IsAborted(Append(*second, "never")));
  EXPECT_EQ(Rows(*second), 1u) << "reads are everybody's";

  ASSERT_TRUE(leadership->Release(epoch).ok());
  EXPECT_EQ(ReasonOf(Append(*first, "late")), "NOT_LEADER");
  const uint64_t next = leadership->Take("b", "unix:///b", seconds(60)).value();
  EXPECT_GT(next, epoch);
  ASSERT_TRUE(second->Lead(next).ok());
  EXPECT_TRUE(Append(*second, "led").ok());
  EXPECT_EQ(ReasonOf(Append(*first, "late")), "NOT_LEADER");
  EXPECT_EQ(Rows(*first), 2u);
  EXPECT_TRUE(first->VerifyHistory().ok());
}

TEST_F(PostgresStore, GivesTheLeadToOneWhoseTimeHasNotPassed) {
  Open();
  const auto one = Leadership::Open(options_).value();
  const auto other = Leadership::Open(options_).value();
  EXPECT_EQ(one->Current()->holder, "");
  const uint64_t epoch = one->Take("a", "unix:///a", milliseconds(300)).value();
  const absl::Status refused = other->Take("b", "unix:///b", seconds(60)).status();
  EXPECT_EQ(ReasonOf(refused), "ANOTHER_LEADS");
  EXPECT_EQ(DetailOf(refused).subject(), "unix:///a");
  EXPECT_EQ(ReasonOf(one->Take("a", "unix:///a", seconds(60)).status()), "ANOTHER_LEADS");
  ASSERT_TRUE(one->Renew(epoch, milliseconds(300)).ok());
  EXPECT_FALSE(other->Current()->expired);
  absl::StatusOr<uint64_t> taken = refused;
  const auto start = std::chrono::steady_clock::now();
  while (!taken.ok()) taken = other->Take("b", "unix:///b", seconds(60));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(200));
  EXPECT_EQ(*taken, epoch + 1);
  EXPECT_TRUE(absl::IsAborted(one->Renew(epoch, seconds(60))));
  EXPECT_TRUE(absl::IsAborted(one->Release(epoch)));
  EXPECT_EQ(one->Current()->holder, "b");
  EXPECT_EQ(one->Current()->address, "unix:///b");
}

TEST_F(PostgresStore, KeepsTheLeadForAsLongAsItCanBeRenewed) {
  Open();
  TcpProxy proxy(server_.port());
  PostgresOptions options = server_.TcpOptions(database_, proxy.port());
  options.statement_timeout = milliseconds(200);
  const auto other = Leadership::Open(options_).value();
  const auto start = std::chrono::steady_clock::now();
  Cancellation lost;
  auto held = HeldLead::Take(
      options, "a", "unix:///a", [&lost] { lost.Cancel(); }, seconds(3));
  ASSERT_TRUE(held.ok()) << held.status();
  while (std::chrono::steady_clock::now() - start < seconds(5)) {
    ASSERT_EQ(ReasonOf(other->Take("b", "unix:///b", seconds(60)).status()), "ANOTHER_LEADS");
  }
  EXPECT_FALSE(lost.IsCancelled());
  proxy.Freeze(true);
  EXPECT_TRUE(lost.WaitFor(seconds(20))) << "it does not reach the database any more";
  absl::StatusOr<uint64_t> taken = absl::UnknownError("");
  while (!taken.ok()) taken = other->Take("b", "unix:///b", seconds(60));
  EXPECT_GT(*taken, (*held)->epoch());
  proxy.Freeze(false);
  held->reset();
  EXPECT_EQ(other->Current()->holder, "b") << "it releases only what is its own";
  ASSERT_TRUE(other->Release(*taken).ok());
  held = HeldLead::Take(options_, "a", "unix:///a", [] {});
  ASSERT_TRUE(held.ok()) << held.status();
  held->reset();
  EXPECT_EQ(other->Current()->holder, "") << "free at once";
}

TEST_F(PostgresStore, GoesOnAfterTheServerWasRestarted) {
  const auto store = LeadingStore(options_);
  ASSERT_TRUE(Append(*store, "before").ok());
  server_.Stop();
  const absl::Status down = Append(*store, "meanwhile");
  EXPECT_EQ(ReasonOf(down), "STORE_UNAVAILABLE");
  EXPECT_TRUE(absl::IsUnavailable(store->ListHistory("", 0, 1).status()));
  server_.Start();
  EXPECT_TRUE(Append(*store, "after").ok());
  EXPECT_EQ(Rows(*store), 2u);
  // A server that was restarted while nobody asked is not noticed at all.
  for (int i = 0; i < 2; ++i) {
    server_.Crash();
    server_.Start();
    EXPECT_EQ(Rows(*store), 2u + static_cast<uint64_t>(i));
    EXPECT_TRUE(Append(*store, "after a crash").ok());
  }
  EXPECT_TRUE(store->VerifyHistory().ok());
}

TEST_F(PostgresStore, KeepsEveryAcknowledgedRowWhileTheServerCrashesAgainAndAgain) {
  const auto store = LeadingStore(options_);
  std::atomic<bool> stop{false};
  std::atomic<int> acknowledged{0};
  int in_doubt = 0;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      const absl::Status status = Append(*store, absl::StrCat(i));
      if (status.ok()) ++acknowledged;
      if (ReasonOf(status) == "COMMIT_IN_DOUBT") ++in_doubt;
    }
  });
  for (int round = 0; round < 6; ++round) {
    const int enough = acknowledged + 50;
    while (acknowledged < enough) std::this_thread::yield();
    round % 2 == 0 ? server_.Crash() : server_.Stop();
    server_.Start();
  }
  stop = true;
  writer.join();
  EXPECT_EQ(in_doubt, 0) << "the server was back in time to be asked";
  EXPECT_EQ(Rows(*store), static_cast<uint64_t>(acknowledged));
  EXPECT_TRUE(store->VerifyHistory().ok()) << store->VerifyHistory();
}

// Wherever the connection is cut, in either direction, the answer says what is true.
TEST_F(PostgresStore, SaysWhatHappenedWhereverTheConnectionIsCut) {
  TcpProxy proxy(server_.port());
  const auto direct = LeadingStore(options_);
  const auto store = LeadingStore(server_.TcpOptions(database_, proxy.port()));
  uint64_t rows = 0;
  int failures = 0;
  int settled = 0;
  for (const TcpProxy::Cut cut : {TcpProxy::Cut::kBefore, TcpProxy::Cut::kAfter}) {
    bool reached = true;
    for (int sending = 1; reached; ++sending) {
      // So that it is connected and all is prepared.
      ASSERT_TRUE(Append(*store, "whole").ok());
      proxy.CutAt(sending, cut);
      const absl::Status status = Append(*store, absl::StrCat("cut at ", sending));
      reached = proxy.HasCut();
      proxy.CutAt(0, cut);
      rows += status.ok() ? 2 : 1;
      if (reached && status.ok() && sending > 1) ++settled;
      if (!status.ok()) {
        ++failures;
        EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
      }
      ASSERT_EQ(Rows(*direct), rows) << sending << (cut == TcpProxy::Cut::kAfter) << status;
    }
  }
  EXPECT_EQ(failures, 3)
      << "in the middle twice, and before the commit; at the begin it is tried again";
  EXPECT_EQ(settled, 1) << "the commit whose answer was lost";
  EXPECT_TRUE(direct->VerifyHistory().ok());
}

TEST_F(PostgresStore, SaysThatItDoesNotKnowWhenTheServerIsNotReachedAfterACommit) {
  TcpProxy proxy(server_.port());
  const auto direct = LeadingStore(options_);
  PostgresOptions options = server_.TcpOptions(database_, proxy.port());
  options.settle_timeout = milliseconds(300);
  const auto store = LeadingStore(options);
  ASSERT_TRUE(Append(*store, "so that all is prepared").ok());
  proxy.CutAt(3, TcpProxy::Cut::kAfterForGood);
  const absl::Status status = Append(*store, "committed");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "COMMIT_IN_DOUBT") << status;
  EXPECT_EQ(Rows(*direct), 2u);
  proxy.Freeze(false);
  EXPECT_TRUE(Append(*store, "and heals").ok());
  EXPECT_TRUE(direct->VerifyHistory().ok());
}

TEST_F(PostgresStore, WaitsForNothingForEver) {
  TcpProxy proxy(server_.port());
  PostgresOptions options = server_.TcpOptions(database_, proxy.port());
  options.statement_timeout = milliseconds(300);
  const auto store = LeadingStore(options);
  ASSERT_TRUE(Append(*store, "before").ok());
  proxy.Freeze(true);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ReasonOf(Append(*store, "into the void")), "STORE_UNAVAILABLE");
  EXPECT_EQ(ReasonOf(store->ListHistory("", 0, 1).status()), "STORE_UNAVAILABLE");
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(60));
  proxy.Freeze(false);
  EXPECT_TRUE(Append(*store, "and heals").ok());
  EXPECT_EQ(Rows(*store), 2u);
}

// What a listener was told.
class Told {
 public:
  std::function<void(const StoreChange&)> Callback() {
    return [this](const StoreChange& change) {
      MutexLock lock(mutex_);
      changes_.push_back(change);
      changed_.NotifyAll();
    };
  }
  // The next one of the kind; false when none comes.
  bool Await(StoreChange::Kind kind, const std::string& deployment = "") {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    MutexLock lock(mutex_);
    while (true) {
      while (!changes_.empty()) {
        const StoreChange change = changes_.front();
        changes_.erase(changes_.begin());
        if (change.kind == kind && change.deployment == deployment) return true;
      }
      if (!changed_.WaitUntil(mutex_, deadline)) return false;
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<StoreChange> changes_ SLIPWAY_GUARDED_BY(mutex_);
};

TEST_F(PostgresStore, TellsOthersOfNewEventsAndOfANewLeader) {
  const auto store = LeadingStore(options_);
  MakeRelease(*store);
  Told told;
  StoreListener listener(server_.TcpOptions(database_), told.Callback());
  ASSERT_TRUE(told.Await(StoreChange::Kind::kEverything));
  const auto id = store->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {})->id;
  EXPECT_TRUE(told.Await(StoreChange::Kind::kEvents, id));
  pb::Event line;
  line.mutable_log()->set_text("hello");
  ASSERT_TRUE(store->AppendEvents("gifty", id, {line}).ok());
  EXPECT_TRUE(told.Await(StoreChange::Kind::kEvents, id));
  const auto leadership = Leadership::Open(options_).value();
  ASSERT_TRUE(leadership->Release(leadership->Current()->epoch).ok());
  EXPECT_TRUE(told.Await(StoreChange::Kind::kLeadership));
  server_.Stop();
  server_.Start();
  EXPECT_TRUE(told.Await(StoreChange::Kind::kEverything));
  LeadingStore(options_);
  EXPECT_TRUE(told.Await(StoreChange::Kind::kLeadership));
}

TEST_F(PostgresStore, IsMadeOnceByTwoWhoOpenItTogether) {
  std::vector<std::thread> threads;
  std::atomic<int> opened{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto store = SqlStore::Open(options_, SystemClock());
      EXPECT_TRUE(store.ok()) << store.status();
      opened += store.ok() ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(opened, 4);
}

TEST_F(PostgresStore, BringsAnOlderSchemaUpToDateWhenItLeadsAndNotBefore) {
  const uint64_t epoch = [this] {
    const auto store = LeadingStore(options_);
    MakeRelease(*store);
    return Leadership::Open(options_).value()->Current()->epoch;
  }();
  // As the edition before the last two steps left it.
  for (const char* column : {"canaries", "left_out", "cancel_when_abandoned", "last_transition"}) {
    server_.Ask(database_, absl::StrCat("ALTER TABLE deployments DROP COLUMN ", column));
  }
  server_.Ask(database_, "ALTER TABLE requests DROP COLUMN create_time");
  server_.Ask(database_, "DROP INDEX deployments_by_end");
  server_.Ask(database_, "UPDATE schema_version SET version=4");
  const auto store = Open();
  EXPECT_EQ(server_.Ask(database_, "SELECT version::text FROM schema_version"), "4");
  EXPECT_EQ(ReasonOf(SqlStore::OpenBeside(options_, SystemClock()).status()), "SCHEMA_DIFFERS");
  EXPECT_FALSE(store->ListDeployments("gifty", "", 1).ok());
  EXPECT_TRUE(store->GetApplication("gifty").ok());
  ASSERT_TRUE(store->Lead(epoch).ok());
  EXPECT_EQ(server_.Ask(database_, "SELECT version::text FROM schema_version"), "6");
  EXPECT_TRUE(store->CreateDeployment(DeploymentOf("gifty", "aaaaaaaaaaaa"), {}).ok());
  EXPECT_THAT(*store->ListDeployments("gifty", "", 9), SizeIs(1));
}

TEST_F(PostgresStore, TakesTheLeadOnConnectionsFromBeforeARestartOfTheServer) {
  const auto store = Open();
  server_.Stop();
  server_.Start();
  const auto leadership = Leadership::Open(options_).value();
  const auto epoch = leadership->Take("a", "unix:///a", seconds(60));
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  EXPECT_TRUE(store->Lead(*epoch).ok());
  EXPECT_TRUE(Append(*store, "led").ok());
}

TEST_F(PostgresStore, RefusesADatabaseThatCannotHoldEveryText) {
  server_.Ask("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
  EXPECT_EQ(ReasonOf(SqlStore::Open(server_.Options("latin"), SystemClock()).status()),
            "POSTGRES_ENCODING");
}

TEST_F(PostgresStore, RefusesADatabaseOfANewerProgram) {
  Open();
  server_.Ask(database_, "UPDATE schema_version SET version=99");
  EXPECT_EQ(ReasonOf(SqlStore::Open(options_, SystemClock()).status()), "SCHEMA_TOO_NEW");
}

TEST_F(PostgresStore, TakesThePasswordFromAFileAndNeverSaysIt) {
  Open();
  PostgresOptions options = server_.TcpOptions(database_);
  EXPECT_TRUE(SqlStore::Open(options, SystemClock()).ok());
  const std::string file = absl::StrCat(::testing::TempDir(), "/password");
  options.password_file = file;
  ASSERT_TRUE(WriteFileAtomically(file, "not this one\n", 0600).ok());
  const absl::Status wrong = SqlStore::Open(options, SystemClock()).status();
  EXPECT_EQ(ReasonOf(wrong), "STORE_UNAVAILABLE");
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("password authentication failed"));
  EXPECT_THAT(wrong.ToString(), Not(HasSubstr("not this one")));
  ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  EXPECT_EQ(ReasonOf(SqlStore::Open(options, SystemClock()).status()), "PASSWORD_FILE");
  options.password_file = file + ".none";
  EXPECT_EQ(ReasonOf(SqlStore::Open(options, SystemClock()).status()), "PASSWORD_FILE");
  for (const char* conninfo : {"host=a password=secret-1", "host=a password='secret-1",
                               "postgres://user:secret-1@host/x", "secret-1"}) {
    options.conninfo = conninfo;
    const absl::Status refused = SqlStore::Open(options, SystemClock()).status();
    EXPECT_EQ(ReasonOf(refused), "BAD_DATABASE") << conninfo;
    EXPECT_THAT(refused.ToString(), Not(HasSubstr("secret-1")));
  }
  std::filesystem::remove(file);
}

TEST_F(PostgresStore, LetsNobodyChangeTheHistoryWithoutATrace) {
  const auto store = LeadingStore(options_);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(Append(*store, absl::StrCat(i)).ok());
  const auto sql = PostgresConnection::Connect(options_).value();
  for (const char* deed : {"UPDATE history SET actor='eve' WHERE sequence=3",
                           "DELETE FROM history WHERE sequence=3", "TRUNCATE history"}) {
    const absl::Status refused = sql->Execute(deed);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("append only")) << deed;
  }
  EXPECT_TRUE(store->VerifyHistory().ok());
  ASSERT_TRUE(sql->Execute("ALTER TABLE history DISABLE TRIGGER ALL").ok());
  ASSERT_TRUE(sql->Execute("DELETE FROM history WHERE sequence=6").ok());
  EXPECT_EQ(ReasonOf(store->VerifyHistory()), "HISTORY_BROKEN");
}

TEST_F(PostgresStore, ReadsOneSnapshotOfALongHistory) {
  const auto store = LeadingStore(options_);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) EXPECT_TRUE(Append(*store, "row").ok());
  });
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(store->VerifyHistory().ok()) << store->VerifyHistory();
  stop = true;
  writer.join();
}

TEST(PostgresSettings, CommitsAreOnTheDiskWhateverTheServersDefaultIs) {
  PostgresServer server({"synchronous_commit=off"});
  const auto connection = PostgresConnection::Connect(server.Options("postgres")).value();
  const auto rows = connection->Query("SHOW synchronous_commit", {}).value();
  ASSERT_TRUE(rows->Next().value());
  EXPECT_EQ(rows->Text(0), "on");
}

TEST_F(PostgresStore, AnswersNothingOfATransactionWhoseStatementFailedUnseen) {
  const auto database = PostgresDatabase::Open(options_, PostgresDatabase::Fence::kNone).value();
  ASSERT_TRUE(database->Execute("CREATE TABLE t (n BIGINT PRIMARY KEY)").ok());
  for (const bool ask : {false, true}) {
    WriteTransaction transaction(*database);
    ASSERT_TRUE(transaction.Begin().ok());
    for (int64_t n = 0; n < 2'500; ++n) {
      // The failure may show here, once enough was sent; whoever does not look is told at the commit.
      static_cast<void>(Statement(*database, "INSERT INTO t VALUES (?)").Bind(n % 2'000).Post());
    }
    if (ask) {
      EXPECT_FALSE(Statement(*database, "SELECT n FROM t").Run().ok());
    }
    EXPECT_FALSE(transaction.Commit().ok());
  }
  EXPECT_EQ(server_.Ask(database_, "SELECT 'none' WHERE NOT EXISTS (SELECT FROM t)"), "none");
}

}  // namespace
}  // namespace slipway::controller
