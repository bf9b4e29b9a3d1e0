// One connection to an SQL database, whichever it is: SQLite (sqlite.h) or PostgreSQL (postgres_database.h).
//
// A Database is used by one thread at a time: its owner holds a lock. Statements are written in what both understand, with `?` or
// `?1` for parameters, and are prepared once per text and kept. Integers are 64 bits wide; texts are ordered by their bytes.
//
// Errors: UNAVAILABLE, reason STORE_UNAVAILABLE, with the database's own words.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway::controller {

// A parameter of a statement, or a column of a row.
struct Value {
  enum class Kind { kNull, kInteger, kText, kBlob };

  Kind kind = Kind::kNull;
  int64_t integer = 0;
  std::string bytes;
};
using Values = std::vector<Value>;

// The rows that a statement answers, one after the other.
class Rows {
 public:
  virtual ~Rows() = default;
  // True while there is a row.
  virtual absl::StatusOr<bool> Next() = 0;
  virtual int64_t Integer(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual bool IsNull(int column) const = 0;
};

struct Column {
  std::string name;
  Value::Kind kind = Value::Kind::kText;
};

class Database {
 public:
  virtual ~Database() = default;

  // One or more statements without parameters.
  virtual absl::Status Execute(const std::string& sql) = 0;
  virtual absl::StatusOr<std::unique_ptr<Rows>> Query(absl::string_view sql,
                                                      const Values& values) = 0;
  // As Query(), for one that answers no row and whose failure may show later: at the next statement that is waited for, or at the
  // commit. Many of these cost one way to a distant database and back, not one each.
  virtual absl::Status Post(absl::string_view sql, const Values& values) = 0;

  // As Query() without parameters, for more rows than should be held at once. In a transaction, one at a time for each text.
  virtual absl::StatusOr<std::unique_ptr<Rows>> Scan(absl::string_view sql) = 0;

  // A transaction that may write, or one that reads a single snapshot.
  virtual absl::Status BeginWrite() = 0;
  virtual absl::Status BeginRead() = 0;
  // After an error of it nothing was changed, and Rollback() is called.
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  // The next write is refused with ABORTED (reason NOT_LEADER) unless this is the epoch of who leads (leadership.h). Nothing where
  // a lock file sees to it that there is but one process.
  virtual void Lead(uint64_t /*epoch*/) {}
  // Tells whoever listens (store_listener.h), once the transaction is committed, that a deployment has new events. Nothing where
  // nobody can.
  virtual absl::Status NotifyEvents(const std::string& /*app*/, const std::string& /*id*/) {
    return absl::OkStatus();
  }

  // How many steps of migrations.h were taken; 0 for an empty database.
  virtual absl::StatusOr<int64_t> SchemaVersion() = 0;
  // In a transaction, for migrations.h: nobody else changes the schema meanwhile, and it may take its time.
  virtual absl::Status LockSchema() { return absl::OkStatus(); }
  // Carries out a step, which is in SQLite's words.
  virtual absl::Status Define(const std::string& step) { return Execute(step); }
  virtual absl::Status SetSchemaVersion(int64_t version) = 0;

  // For table_copy.h: a table's columns, and what is left to be done when rows have come with their numbers.
  virtual absl::StatusOr<std::vector<Column>> Columns(const std::string& table) = 0;
  virtual absl::Status ContinueNumbers(const std::string& /*table*/,
                                       const std::string& /*column*/) {
    return absl::OkStatus();
  }
};

// The text as every database takes it: U+FFFD stands for zero bytes and for what is not UTF-8.
std::string StorableText(absl::string_view text);

// A statement in use.
class Statement {
 public:
  Statement(Database& database, absl::string_view sql) : database_(database), sql_(sql) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds the next parameter, from the left. Errors show at Step().
  Statement& Bind(int64_t value);
  Statement& Bind(uint64_t value) { return Bind(static_cast<int64_t>(value)); }
  Statement& Bind(int value) { return Bind(static_cast<int64_t>(value)); }
  Statement& Bind(uint32_t value) { return Bind(static_cast<int64_t>(value)); }
  Statement& Bind(bool value) { return Bind(static_cast<int64_t>(value)); }
  Statement& Bind(absl::string_view text);
  Statement& Bind(const char* text) { return Bind(absl::string_view(text)); }
  Statement& BindBlob(absl::string_view bytes);
  Statement& BindNull();
  template <typename... Bound>
  Statement& BindAll(const Bound&... values) {
    (Bind(values), ...);
    return *this;
  }

  // True while there is a row.
  absl::StatusOr<bool> Step();
  // The first step by Database::Scan(); there is no parameter then.
  absl::StatusOr<bool> ScanStep();
  // For statements that answer no row.
  absl::Status Run();
  // The same, by Database::Post().
  absl::Status Post() { return database_.Post(sql_, values_); }

  int64_t Integer(int column) const { return rows_->Integer(column); }
  uint64_t Unsigned(int column) const { return static_cast<uint64_t>(Integer(column)); }
  std::string Text(int column) const { return rows_->Text(column); }
  bool IsNull(int column) const { return rows_->IsNull(column); }

 private:
  Database& database_;
  const std::string sql_;
  Values values_;
  std::unique_ptr<Rows> rows_;
};

// Rolled back unless committed.
class WriteTransaction {
 public:
  explicit WriteTransaction(Database& database) : database_(database) {}
  ~WriteTransaction() {
    if (open_) database_.Rollback();
  }
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;

  absl::Status Begin();
  absl::Status Commit();

 private:
  Database& database_;
  bool open_ = false;
};

}  // namespace slipway::controller
