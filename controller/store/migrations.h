// The database's schema, as the steps that lead to it.
#pragma once

#include "absl/status/status.h"

#include "controller/store/database.h"

namespace slipway::controller {

// What the steps make, in an order in which every row finds those that it refers to.
inline constexpr const char* kTables[] = {"applications", "specs",    "environments", "releases",
                                          "deployments",  "rollouts", "steps",        "events",
                                          "leases",       "requests", "local_events", "history",
                                          "history_head", "records"};

// Brings the database to this program's schema, one transaction per step. FAILED_PRECONDITION (reason SCHEMA_TOO_NEW) when
// a newer program has written it.
absl::Status Migrate(Database& database);
// The same, but a database that is not empty is left as it is.
absl::Status MigrateIfEmpty(Database& database);
// FAILED_PRECONDITION (reason SCHEMA_DIFFERS) when the database has another schema than this program's.
absl::Status CheckMigrated(Database& database);

}  // namespace slipway::controller
