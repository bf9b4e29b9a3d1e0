#include "controller/store/table_copy.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/status.h"
#include "controller/store/migrations.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sqlite.h"

namespace slipway::controller {
namespace {

constexpr char kHead[] = "history_head";

absl::Status CopyRow(const Statement& row, const std::vector<Column>& columns, Statement& insert) {
  for (size_t i = 0; i < columns.size(); ++i) {
    const int column = static_cast<int>(i);
    if (row.IsNull(column)) {
      insert.BindNull();
    } else if (columns[i].kind == Value::Kind::kInteger) {
      insert.Bind(row.Integer(column));
    } else if (columns[i].kind == Value::Kind::kBlob) {
      insert.BindBlob(row.Text(column));
    } else {
      insert.Bind(row.Text(column));
    }
  }
  return insert.Post();
}

absl::Status CopyTable(const std::string& table, Database& from, Database& to) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<Column> columns, to.Columns(table));
  std::vector<std::string> names;
  for (const Column& column : columns) names.push_back(column.name);
  const std::string list = absl::StrJoin(names, ", ");
  const std::string marks = absl::StrJoin(std::vector<std::string>(names.size(), "?"), ", ");
  Statement rows(from, absl::StrCat("SELECT ", list, " FROM ", table));
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool more, rows.ScanStep());
    if (!more) break;
    Statement insert(to, absl::StrCat("INSERT INTO ", table, " (", list, ") VALUES (", marks, ")"));
    SLIPWAY_RETURN_IF_ERROR(CopyRow(rows, columns, insert));
  }
  if (names.front() == "number") return to.ContinueNumbers(table, "number");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckEmpty(Database& database) {
  for (const char* table : kTables) {
    // Made with one row, of nothing.
    Statement find(database, absl::StrCat("SELECT 1 FROM ", table,
                                          table == std::string(kHead) ? " WHERE sequence > 0" : "",
                                          " LIMIT 1"));
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, find.Step());
    if (!row) continue;
    return Error(
        absl::StatusCode::kFailedPrecondition, "DATABASE_NOT_EMPTY",
        absl::StrCat("the database holds a state already: there are rows in its table ", table),
        "name another database, or move what is in this one away and keep it");
  }
  return absl::OkStatus();
}

absl::Status CopyTables(Database& from, Database& to) {
  SLIPWAY_RETURN_IF_ERROR(Statement(to, absl::StrCat("DELETE FROM ", kHead)).Run());
  for (const char* table : kTables) {
    const absl::Status copied = CopyTable(table, from, to);
    if (!copied.ok()) return Annotate(copied, absl::StrCat("table ", table));
  }
  return VerifyHistory(to);
}

absl::Status CopyToFile(Database& from, const std::string& file) {
  SLIPWAY_RETURN_IF_ERROR(CheckMigrated(from));
  SLIPWAY_ASSIGN_OR_RETURN(const auto to, SqliteDatabase::Open(file));
  SLIPWAY_RETURN_IF_ERROR(Migrate(*to));
  SLIPWAY_RETURN_IF_ERROR(from.BeginRead());
  WriteTransaction transaction(*to);
  absl::Status copied = transaction.Begin();
  if (copied.ok()) copied = CopyTables(from, *to);
  if (copied.ok()) copied = transaction.Commit();
  from.Rollback();
  return copied;
}

absl::Status CopyFromFile(const std::string& file, Database& to, Time now,
                          const std::optional<HistoryDraft>& history) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto from, SqliteDatabase::Open(file));
  SLIPWAY_RETURN_IF_ERROR(CheckMigrated(*from));
  SLIPWAY_RETURN_IF_ERROR(CheckMigrated(to));
  WriteTransaction transaction(to);
  SLIPWAY_RETURN_IF_ERROR(transaction.Begin());
  // It takes as long as it takes.
  SLIPWAY_RETURN_IF_ERROR(to.LockSchema());
  SLIPWAY_RETURN_IF_ERROR(CheckEmpty(to));
  SLIPWAY_RETURN_IF_ERROR(from->BeginRead());
  SLIPWAY_RETURN_IF_ERROR(CopyTables(*from, to));
  if (history) SLIPWAY_RETURN_IF_ERROR(WriteHistory(to, now, *history));
  return transaction.Commit();
}

}  // namespace slipway::controller
