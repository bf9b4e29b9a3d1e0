#include "controller/store/sqlite.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <vector>

#include "absl/strings/str_cat.h"
#include <sqlite3.h>

#include "common/file.h"
#include "common/logging.h"
#include "common/status.h"

namespace slipway::controller {

Statement::Statement(Database& database, absl::string_view sql)
    : database_(database), statement_(database.Prepare(sql)) {
  if (statement_ == nullptr) error_ = database.LastError("prepare");
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::Bind(int64_t value) {
  if (error_.ok() && sqlite3_bind_int64(statement_, ++bound_, value) != SQLITE_OK) {
    error_ = database_.LastError("bind");
  }
  return *this;
}

Statement& Statement::Bind(absl::string_view text) {
  // A null pointer would bind NULL, and an empty string_view may have one.
  const char* data = text.empty() ? "" : text.data();
  if (error_.ok() && sqlite3_bind_text(statement_, ++bound_, data, static_cast<int>(text.size()),
                                       SQLITE_TRANSIENT) != SQLITE_OK) {
    error_ = database_.LastError("bind");
  }
  return *this;
}

Statement& Statement::BindBlob(absl::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  if (error_.ok() && sqlite3_bind_blob(statement_, ++bound_, data, static_cast<int>(bytes.size()),
                                       SQLITE_TRANSIENT) != SQLITE_OK) {
    error_ = database_.LastError("bind");
  }
  return *this;
}

Statement& Statement::BindNull() {
  if (error_.ok() && sqlite3_bind_null(statement_, ++bound_) != SQLITE_OK) {
    error_ = database_.LastError("bind");
  }
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (!error_.ok()) return error_;
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return database_.LastError("statement");
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  return row.ok() ? absl::OkStatus() : row.status();
}

int64_t Statement::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (data == nullptr || size <= 0) return "";
  return std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
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
  std::unique_ptr<Database> database(new Database(handle));
  if (result != SQLITE_OK) return database->LastError(absl::StrCat("open ", path));
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 5'000);
  SLIPWAY_RETURN_IF_ERROR(
      database->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                        "PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY;"));
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

absl::Status Database::Execute(const std::string& sql) {
  return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK
             ? absl::OkStatus()
             : LastError("statement");
}

absl::Status Database::LastError(absl::string_view what) const {
  return Error(absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE",
               absl::StrCat("the controller's database: ", what, ": ",
                            handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_)),
               "nothing was changed; check the free space and the permissions of the state folder");
}

int64_t Database::LastInsertId() const { return sqlite3_last_insert_rowid(handle_); }

sqlite3_stmt* Database::Prepare(absl::string_view sql) {
  if (const auto found = statements_.find(sql); found != statements_.end()) return found->second;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return nullptr;
  }
  statements_.emplace(std::string(sql), statement);
  return statement;
}

WriteTransaction::~WriteTransaction() {
  if (!open_) return;
  // A statement that failed for want of space has rolled back by itself; then this has nothing to do and says so.
  static_cast<void>(database_.Execute("ROLLBACK"));
}

absl::Status WriteTransaction::Begin() {
  SLIPWAY_RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  open_ = true;
  return absl::OkStatus();
}

absl::Status WriteTransaction::Commit() {
  SLIPWAY_RETURN_IF_ERROR(database_.Execute("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace slipway::controller
