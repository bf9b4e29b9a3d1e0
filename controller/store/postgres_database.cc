#include "controller/store/postgres_database.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "common/status.h"
#include "controller/store/postgres_schema.h"

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;

constexpr char kBeginWrite[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
constexpr char kBeginRead[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
// Any number that nobody else uses in this database.
constexpr int64_t kSchemaLock = 0x736c6970776179;
constexpr std::chrono::hours kMigrationTime{6};

absl::Status NotLeader() {
  return Error(absl::StatusCode::kAborted, "NOT_LEADER",
               "this controller does not lead, so it changes nothing",
               "ask the one that does; `slipway doctor` names it");
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresDatabase>> PostgresDatabase::Open(
    const PostgresOptions& options, Fence fence) {
  std::unique_ptr<PostgresDatabase> database(new PostgresDatabase(options, fence));
  SLIPWAY_RETURN_IF_ERROR(database->Connect());
  return database;
}

absl::Status PostgresDatabase::Connect() {
  if (connection_ != nullptr && !connection_->IsBroken()) return absl::OkStatus();
  const bool again = connection_ != nullptr;
  connection_.reset();
  SLIPWAY_ASSIGN_OR_RETURN(connection_, PostgresConnection::Connect(options_));
  if (again) LogInfo("connected to PostgreSQL again");
  return absl::OkStatus();
}

absl::Status PostgresDatabase::Usable() {
  if (!in_transaction_) return Connect();
  if (connection_ != nullptr) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE",
               "the connection to PostgreSQL was lost");
}

absl::Status PostgresDatabase::AllowForTransaction(milliseconds time) {
  SLIPWAY_RETURN_IF_ERROR(Usable());
  return connection_->AllowForTransaction(time);
}

absl::Status PostgresDatabase::Execute(const std::string& sql) {
  SLIPWAY_RETURN_IF_ERROR(Usable());
  return connection_->Execute(sql);
}

absl::StatusOr<std::unique_ptr<Rows>> PostgresDatabase::Query(absl::string_view sql,
                                                              const Values& values) {
  SLIPWAY_RETURN_IF_ERROR(Usable());
  const bool fresh = std::exchange(fresh_read_, false);
  auto rows = connection_->Query(sql, values);
  if (rows.ok() || !fresh || !connection_->IsBroken()) return rows;
  // The server was restarted since the last read: nothing of this one was answered yet.
  SLIPWAY_RETURN_IF_ERROR(Connect());
  SLIPWAY_RETURN_IF_ERROR(connection_->Post(kBeginRead, {}));
  return connection_->Query(sql, values);
}

absl::Status PostgresDatabase::Post(absl::string_view sql, const Values& values) {
  SLIPWAY_RETURN_IF_ERROR(Usable());
  return connection_->Post(sql, values);
}

// Rows fetched from a cursor, some at a time.
class PostgresDatabase::Pieces final : public Rows {
 public:
  Pieces(PostgresDatabase& database, const std::string& cursor)
      : database_(database), fetch_(absl::StrCat("FETCH 200 FROM ", cursor)) {}

  absl::StatusOr<bool> Next() override {
    if (rows_ != nullptr) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, rows_->Next());
      if (row) return true;
    }
    SLIPWAY_ASSIGN_OR_RETURN(rows_, database_.Query(fetch_, {}));
    return rows_->Next();
  }
  int64_t Integer(int column) const override { return rows_->Integer(column); }
  std::string Text(int column) const override { return rows_->Text(column); }
  bool IsNull(int column) const override { return rows_->IsNull(column); }

 private:
  PostgresDatabase& database_;
  const std::string fetch_;
  std::unique_ptr<Rows> rows_;
};

absl::StatusOr<std::unique_ptr<Rows>> PostgresDatabase::Scan(absl::string_view sql) {
  auto known = std::find(scans_.begin(), scans_.end(), sql);
  if (known == scans_.end()) known = scans_.emplace(scans_.end(), sql);
  const std::string cursor = absl::StrCat("scan_", known - scans_.begin());
  SLIPWAY_RETURN_IF_ERROR(
      Query(absl::StrCat("DECLARE ", cursor, " NO SCROLL CURSOR FOR ", sql), {}).status());
  return std::make_unique<Pieces>(*this, cursor);
}

absl::Status PostgresDatabase::BeginRead() {
  SLIPWAY_RETURN_IF_ERROR(Connect());
  SLIPWAY_RETURN_IF_ERROR(connection_->Post(kBeginRead, {}));
  fresh_read_ = in_transaction_ = true;
  return absl::OkStatus();
}

absl::Status PostgresDatabase::BeginWrite() {
  if (fence_ == Fence::kLeadership && epoch_ == 0) return NotLeader();
  SLIPWAY_RETURN_IF_ERROR(Connect());
  absl::Status begun = TakeFence();
  if (!begun.ok() && connection_->IsBroken()) {
    // The server was restarted since the last write: nothing of this one was asked yet.
    SLIPWAY_RETURN_IF_ERROR(Connect());
    begun = TakeFence();
  }
  in_transaction_ = true;
  if (!begun.ok()) Rollback();
  return begun;
}

absl::Status PostgresDatabase::TakeFence() {
  SLIPWAY_RETURN_IF_ERROR(connection_->Post(kBeginWrite, {}));
  if (fence_ == Fence::kNone) return connection_->Query("SELECT 1", {}).status();
  if (fence_ == Fence::kTurn) {
    return connection_->Query("SELECT epoch FROM leadership WHERE only_row=1 FOR UPDATE", {})
        .status();
  }
  const Value epoch{Value::Kind::kInteger, static_cast<int64_t>(epoch_), ""};
  SLIPWAY_ASSIGN_OR_RETURN(
      const auto row,
      connection_->Query("UPDATE leadership SET writes=writes+1 WHERE only_row=1 AND epoch=? AND "
                         "holder != '' RETURNING writes",
                         {epoch}));
  SLIPWAY_ASSIGN_OR_RETURN(const bool leads, row->Next());
  if (!leads) return NotLeader();
  write_ = row->Integer(0);
  return absl::OkStatus();
}

absl::Status PostgresDatabase::Commit() {
  SLIPWAY_RETURN_IF_ERROR(Usable());
  fresh_read_ = false;
  absl::Status committed = connection_->Commit();
  if (!committed.ok() && !connection_->IsBroken()) return committed;
  in_transaction_ = false;
  if (!committed.ok() && write_ != 0) committed = SettleDoubt(committed);
  write_ = 0;
  return committed;
}

void PostgresDatabase::Rollback() {
  write_ = 0;
  fresh_read_ = false;
  if (!std::exchange(in_transaction_, false)) return;
  if (connection_ != nullptr && !connection_->IsBroken()) {
    static_cast<void>(connection_->Rollback());
  }
}

absl::Status PostgresDatabase::SettleDoubt(const absl::Status& problem) {
  const auto deadline = std::chrono::steady_clock::now() + options_.settle_timeout;
  // Nothing tells when a server is back.
  for (milliseconds pause{20};; pause = std::min(pause * 2, milliseconds(1'000))) {
    const absl::StatusOr<bool> committed = WasCommitted();
    if (committed.ok()) return *committed ? absl::OkStatus() : problem;
    if (std::chrono::steady_clock::now() + pause > deadline) {
      return Error(absl::StatusCode::kUnavailable, "COMMIT_IN_DOUBT",
                   absl::StrCat(std::string(problem.message()),
                                "; whether the change was stored is not known: ",
                                std::string(committed.status().message())),
                   "bring the database back, then look before you do it again");
    }
    std::this_thread::sleep_for(pause);
  }
}

absl::StatusOr<bool> PostgresDatabase::WasCommitted() {
  SLIPWAY_RETURN_IF_ERROR(Connect());
  // Waits for the lost connection's transaction, if the server still has it.
  auto row =
      connection_->Query("SELECT epoch, writes, writes_before FROM leadership FOR UPDATE", {});
  SLIPWAY_RETURN_IF_ERROR(row.status());
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, (*row)->Next());
  if (!found) return absl::DataLossError("the row of table leadership is gone");
  const auto epoch = static_cast<uint64_t>((*row)->Integer(0));
  if (epoch == epoch_) return (*row)->Integer(1) >= write_;
  // Another one leads since: what it found committed was written before it.
  if (epoch == epoch_ + 1) return (*row)->Integer(2) >= write_;
  return absl::UnavailableError("others have led since");
}

absl::Status PostgresDatabase::NotifyEvents(const std::string& app, const std::string& id) {
  return Post("SELECT pg_notify('slipway_events', ?)",
              {{Value::Kind::kText, 0, absl::StrCat(app, "/", id)}});
}

absl::StatusOr<int64_t> PostgresDatabase::SchemaVersion() {
  // Not to_regclass(), which in a transaction remembers what was not there at its start.
  constexpr char kExists[] =
      "SELECT 1 FROM pg_class WHERE relname='schema_version' AND pg_table_is_visible(oid)";
  auto exists = Query(kExists, {});
  // Outside of a transaction it may be the first to notice that the server was restarted.
  if (!exists.ok() && !in_transaction_ && connection_->IsBroken()) exists = Query(kExists, {});
  SLIPWAY_RETURN_IF_ERROR(exists.status());
  SLIPWAY_ASSIGN_OR_RETURN(const bool answered, (*exists)->Next());
  if (!answered) return 0;
  SLIPWAY_ASSIGN_OR_RETURN(const auto version, Query("SELECT version FROM schema_version", {}));
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, version->Next());
  return found ? version->Integer(0) : 0;
}

absl::Status PostgresDatabase::LockSchema() {
  SLIPWAY_RETURN_IF_ERROR(AllowForTransaction(kMigrationTime));
  return Query("SELECT pg_advisory_xact_lock(?)", {{Value::Kind::kInteger, kSchemaLock, ""}})
      .status();
}

absl::Status PostgresDatabase::Define(const std::string& step) {
  SLIPWAY_ASSIGN_OR_RETURN(const int64_t version, SchemaVersion());
  if (version > 0) return Execute(PostgresStep(step));
  return Execute(absl::StrCat(kPostgresFoundation, PostgresStep(step), kPostgresGuards));
}

absl::Status PostgresDatabase::SetSchemaVersion(int64_t version) {
  return Query(
             "INSERT INTO schema_version VALUES (1, ?) ON CONFLICT (only_row) DO UPDATE SET "
             "version=excluded.version",
             {{Value::Kind::kInteger, version, ""}})
      .status();
}

absl::StatusOr<std::vector<Column>> PostgresDatabase::Columns(const std::string& table) {
  Statement list(*this,
                 "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE "
                 "attrelid=to_regclass(?) AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
  list.Bind(table);
  std::vector<Column> columns;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
    if (!row) return columns;
    const std::string type = list.Text(1);
    columns.push_back({list.Text(0), type == "bigint"  ? Value::Kind::kInteger
                                     : type == "bytea" ? Value::Kind::kBlob
                                                       : Value::Kind::kText});
  }
}

absl::Status PostgresDatabase::ContinueNumbers(const std::string& table,
                                               const std::string& column) {
  return Execute(absl::StrCat("SELECT setval(pg_get_serial_sequence('", table, "', '", column,
                              "'), max(", column, ")) FROM ", table, " HAVING max(", column,
                              ") IS NOT NULL"));
}

}  // namespace slipway::controller
