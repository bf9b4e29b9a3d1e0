// All rows of every table, from one database to another of whatever kind: for backups, and for moving to PostgreSQL.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"

#include "controller/store/database.h"
#include "controller/store/store.h"

namespace slipway::controller {

// FAILED_PRECONDITION (reason DATABASE_NOT_EMPTY) when a table of the schema has a row.
absl::Status CheckEmpty(Database& database);

// Both have this program's schema (migrations.h) and are in a transaction, the target is empty; its history is verified afterwards.
// DATA_LOSS (reason HISTORY_BROKEN) when that does not hold.
absl::Status CopyTables(Database& from, Database& to);

// A consistent copy of the database, whatever is written to it meanwhile, in a new file of SQLite's. FAILED_PRECONDITION (reason
// SCHEMA_DIFFERS), or the errors of CopyTables().
absl::Status CopyToFile(Database& from, const std::string& file);

// The file's rows, and one of the history that tells of it if any, in one transaction. The database may write. The errors of both above.
absl::Status CopyFromFile(const std::string& file, Database& to, Time now,
                          const std::optional<HistoryDraft>& history);

}  // namespace slipway::controller
