// Backups: all that a controller cannot make again, in one folder, whichever database it is kept in.
//
// INTO/20261125T073000Z/        UTC, when it was begun
//   state.db                    a consistent copy, its history verified
//   key, tls/, ssh/             as in the state folder, of tls/ the authority alone
//   blobs/                      what releases are made of: hard links to the state's or to the last backup's, or copies
// A backup that is being made is INTO/.partial until it is whole and on the disk; what a killed one left there goes with the next.
//
// Neither function reads the environments, which stay sealed; but with the key beside them a backup is as secret as the state
// folder itself, and is made readable by its owner alone.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock.h"
#include "controller/store/store.h"

#include "slipway/config/v1/config.pb.h"

namespace slipway::controller {

struct Backup {
  std::filesystem::path folder;
  // Older ones that were removed.
  int removed = 0;
};

// Also while the controller runs. Leaves a row in the history, and the time for `slipway_backup_timestamp_seconds`. `keep` is how
// many backups stay in the folder, this one included; 0 keeps all. FAILED_PRECONDITION without a state to back up, or (reason
// SCHEMA_DIFFERS) when another edition of the program wrote it; DATA_LOSS when the history does not hold: nothing is left behind
// then. FAILED_PRECONDITION (reason BACKUP_RUNNING) while another one is made there.
absl::StatusOr<Backup> MakeBackup(const config::v1::ControllerConfig& config,
                                  const std::filesystem::path& into, int keep, Clock& clock);

// When the newest backup was begun; nothing when none was made.
std::optional<Time> NewestBackup(Store& store);

// Into an empty state folder, and an empty PostgreSQL database where the configuration names one; a row in the history says so, and
// hosts that remember rows from after the backup are told (see Audit). Killed half way, it can be run again. FAILED_PRECONDITION
// (reason STATE_EXISTS, STATE_IN_USE, NOT_A_BACKUP, OTHER_USER, DATABASE_NOT_EMPTY, ANOTHER_LEADS).
absl::Status RestoreBackup(const config::v1::ControllerConfig& config,
                           const std::filesystem::path& from, Clock& clock);

}  // namespace slipway::controller
