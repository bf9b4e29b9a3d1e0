#include "controller/store/sqlite.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include <sqlite3.h>

#include "common/file.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

int Bind(sqlite3_stmt* statement, int position, const Value& value) {
  const int size = static_cast<int>(value.bytes.size());
  switch (value.kind) {
    case Value::Kind::kNull:
      return sqlite3_bind_null(statement, position);
    case Value::Kind::kInteger:
      return sqlite3_bind_int64(statement, position, value.integer);
    case Value::Kind::kText:
      return sqlite3_bind_text(statement, position, value.bytes.data(), size, SQLITE_TRANSIENT);
    case Value::Kind::kBlob:
      return sqlite3_bind_blob(statement, position, value.bytes.data(), size, SQLITE_TRANSIENT);
  }
  return SQLITE_MISUSE;
}

}  // namespace

// The prepared statement is reset, with its bindings cleared, when this goes out of scope.
class SqliteDatabase::Cursor final : public Rows {
 public:
  Cursor(SqliteDatabase& database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  ~Cursor() override {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

  absl::StatusOr<bool> Next() override {
    const int result = sqlite3_step(statement_);
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return database_.LastError("statement");
  }
  int64_t Integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const override {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    if (data == nullptr || size <= 0) return "";
    return std::string(static_cast<const char*>(data), static_cast<size_t>(size));
  }
  bool IsNull(int column) const override {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }

 private:
  SqliteDatabase& database_;
  sqlite3_stmt* statement_;
};

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
  // SQLite gives its -wal and -shm files the mode of the database, so that is set before anything is in it. A file that is there is
  // not opened: closing it again would drop the locks that another connection of this process holds on it, and a second process
  // could take the log of the first away.
  {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd && errno != EEXIST) return ErrnoError(absl::StrCat("open ", path));
  }
  sqlite3* handle = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(handle));
  if (result != SQLITE_OK) return database->LastError(absl::StrCat("open ", path));
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 5'000);
  SLIPWAY_RETURN_IF_ERROR(
      database->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                        "PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY;"));
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

absl::Status SqliteDatabase::CopyInto(const std::string& path) {
  // Made here for its mode: SQLite fills an empty file.
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(path, "", 0600));
  return Statement(*this, "VACUUM INTO ?").Bind(path).Run();
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK
             ? absl::OkStatus()
             : LastError("statement");
}

absl::StatusOr<std::unique_ptr<Rows>> SqliteDatabase::Query(absl::string_view sql,
                                                            const Values& values) {
  SLIPWAY_ASSIGN_OR_RETURN(sqlite3_stmt * statement, Prepare(sql));
  auto cursor = std::make_unique<Cursor>(*this, statement);
  int position = 0;
  for (const Value& value : values) {
    if (Bind(statement, ++position, value) != SQLITE_OK) return LastError("bind");
  }
  return cursor;
}

absl::Status SqliteDatabase::Post(absl::string_view sql, const Values& values) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto rows, Query(sql, values));
  return rows->Next().status();
}

void SqliteDatabase::Rollback() {
  // A statement that failed for want of space has rolled back by itself; then this has nothing to do and says so.
  static_cast<void>(Execute("ROLLBACK"));
}

absl::StatusOr<int64_t> SqliteDatabase::SchemaVersion() {
  Statement statement(*this, "PRAGMA user_version");
  SLIPWAY_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Integer(0) : 0;
}

absl::Status SqliteDatabase::SetSchemaVersion(int64_t version) {
  return Execute(absl::StrCat("PRAGMA user_version=", version));
}

absl::StatusOr<std::vector<Column>> SqliteDatabase::Columns(const std::string& table) {
  Statement list(*this, "SELECT name, type FROM pragma_table_info(?)");
  list.Bind(table);
  std::vector<Column> columns;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
    if (!row) return columns;
    const std::string type = list.Text(1);
    columns.push_back({list.Text(0), type == "INTEGER" ? Value::Kind::kInteger
                                     : type == "BLOB"  ? Value::Kind::kBlob
                                                       : Value::Kind::kText});
  }
}

absl::Status SqliteDatabase::LastError(absl::string_view what) const {
  return Error(absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE",
               absl::StrCat("the controller's database: ", what, ": ",
                            handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_)),
               "nothing was changed; check the free space and the permissions of the state folder");
}

absl::StatusOr<sqlite3_stmt*> SqliteDatabase::Prepare(absl::string_view sql) {
  if (const auto found = statements_.find(sql); found != statements_.end()) return found->second;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return LastError("prepare");
  }
  statements_.emplace(std::string(sql), statement);
  return statement;
}

}  // namespace slipway::controller
