// From SQLite to PostgreSQL: what a controller has kept in its state folder becomes what several share.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"

#include "common/clock.h"
#include "controller/store/store.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

// The state folder's database and files of releases into the configured, empty PostgreSQL database. The folder stays as it is: a
// backup, and the keys beside the database are still used. All rows are there or none, so killed half way it can be run again.
// FAILED_PRECONDITION (reason NO_DATABASE, NO_STATE, STATE_IN_USE, OTHER_USER, DATABASE_NOT_EMPTY; ANOTHER_LEADS when a controller
// runs on the database); DATA_LOSS when the history does not hold.
absl::Status MoveToPostgres(const config::v1::ControllerConfig& config, Clock& clock);

// FAILED_PRECONDITION (reason DATABASE_NOT_EMPTY) when the configured database holds a state.
absl::Status CheckPostgresEmpty(const config::v1::ControllerConfig& config, Clock& clock);

// Any database file and folder of blobs into it; with a row of the history that tells of it, or without.
absl::Status FillPostgres(const config::v1::ControllerConfig& config,
                          const std::filesystem::path& database, const std::filesystem::path& blobs,
                          const std::optional<HistoryDraft>& history, Clock& clock);

}  // namespace slipway::controller
