// SQLite behind the Database seam: one file in WAL mode. The only place that knows of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "controller/store/database.h"

struct sqlite3;
struct sqlite3_stmt;

namespace slipway::controller {

class SqliteDatabase final : public Database {
 public:
  // Creates the file (mode 0600) when it is absent; WAL, synchronous=FULL, foreign keys on.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);
  ~SqliteDatabase() override;
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  // A consistent copy in a new file of the same mode, also while others write.
  absl::Status CopyInto(const std::string& path);

  absl::Status Execute(const std::string& sql) override;
  absl::StatusOr<std::unique_ptr<Rows>> Query(absl::string_view sql, const Values& values) override;
  absl::Status Post(absl::string_view sql, const Values& values) override;
  absl::StatusOr<std::unique_ptr<Rows>> Scan(absl::string_view sql) override {
    return Query(sql, {});
  }
  absl::Status BeginWrite() override { return Execute("BEGIN IMMEDIATE"); }
  absl::Status BeginRead() override { return Execute("BEGIN"); }
  absl::Status Commit() override { return Execute("COMMIT"); }
  void Rollback() override;
  absl::StatusOr<int64_t> SchemaVersion() override;
  absl::Status SetSchemaVersion(int64_t version) override;
  absl::StatusOr<std::vector<Column>> Columns(const std::string& table) override;

 private:
  class Cursor;
  explicit SqliteDatabase(sqlite3* handle) : handle_(handle) {}
  absl::Status LastError(absl::string_view what) const;
  absl::StatusOr<sqlite3_stmt*> Prepare(absl::string_view sql);

  sqlite3* handle_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

}  // namespace slipway::controller
