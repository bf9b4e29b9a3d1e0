// SQLite behind four small classes; with migrations.cc and sqlite_store*.cc the only place that knows of it.
//
// A Database is one connection and is used by one thread at a time: its owner holds a lock. Statements are prepared once
// per text and kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace slipway::controller {

class Database;

// A prepared statement in use; reset, with its bindings cleared, when it goes out of scope.
class Statement {
 public:
  Statement(Database& database, absl::string_view sql);
  ~Statement();
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
  template <typename... Values>
  Statement& BindAll(const Values&... values) {
    (Bind(values), ...);
    return *this;
  }

  // True while there is a row.
  absl::StatusOr<bool> Step();
  // For statements that answer no row.
  absl::Status Run();

  int64_t Integer(int column) const;
  uint64_t Unsigned(int column) const { return static_cast<uint64_t>(Integer(column)); }
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  absl::Status error_;
};

class Database {
 public:
  // Creates the file (mode 0600) when it is absent; WAL, synchronous=FULL, foreign keys on.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // One or more statements without parameters.
  absl::Status Execute(const std::string& sql);
  // UNAVAILABLE, reason STORE_UNAVAILABLE, with SQLite's own words.
  absl::Status LastError(absl::string_view what) const;
  int64_t LastInsertId() const;

 private:
  friend class Statement;
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3_stmt* Prepare(absl::string_view sql);

  sqlite3* handle_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// Rolled back unless committed.
class WriteTransaction {
 public:
  explicit WriteTransaction(Database& database) : database_(database) {}
  ~WriteTransaction();
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;

  absl::Status Begin();
  absl::Status Commit();

 private:
  Database& database_;
  bool open_ = false;
};

}  // namespace slipway::controller
