#include "controller/move_state.h"

#include <memory>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/blob_store.h"
#include "common/status.h"
#include "common/user.h"
#include "controller/config.h"
#include "controller/state_folder.h"
#include "controller/store/held_lead.h"
#include "controller/store/postgres_database.h"
#include "controller/store/release_files.h"
#include "controller/store/sql_store.h"
#include "controller/store/table_copy.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using Config = config::v1::ControllerConfig;

// Everything in the folder; what is there already is not sent again.
absl::Status Publish(const fs::path& folder, SqlStore& store, Clock& clock) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto blobs, BlobStore::Open(folder));
  SLIPWAY_ASSIGN_OR_RETURN(const auto digests,
                           blobs->WrittenBefore(clock.WallNow() + std::chrono::hours(24)));
  return ReleaseFiles(*blobs, store, clock).Publish(digests);
}

}  // namespace

absl::Status CheckPostgresEmpty(const Config& config, Clock& clock) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto store, SqlStore::Open(*PostgresOf(config), clock));
  return store->Read([](Database& database) { return CheckEmpty(database); });
}

absl::Status FillPostgres(const Config& config, const fs::path& database, const fs::path& blobs,
                          const std::optional<HistoryDraft>& history, Clock& clock) {
  const auto options = PostgresOf(config);
  if (!options) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_DATABASE",
                 "the configuration names no database to move to",
                 "write `database: {postgres: \"host=... dbname=... user=...\"}` into it");
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto store, SqlStore::Open(*options, clock));
  // Nobody else begins meanwhile. If the lead is lost for the time that this takes, the database refuses what comes after.
  SLIPWAY_ASSIGN_OR_RETURN(
      const auto lead, HeldLead::Take(*options, absl::StrCat("slipway-controller of ", UserName()),
                                      config.state(), [] {}));
  SLIPWAY_RETURN_IF_ERROR(store->Lead(lead->epoch()));
  SLIPWAY_RETURN_IF_ERROR(store->Read([](Database& reader) { return CheckEmpty(reader); }));
  // First, so that every file is there that a release is made of.
  SLIPWAY_RETURN_IF_ERROR(Publish(blobs, *store, clock));
  SLIPWAY_ASSIGN_OR_RETURN(const auto target,
                           PostgresDatabase::Open(*options, PostgresDatabase::Fence::kLeadership));
  target->Lead(lead->epoch());
  return CopyFromFile(database, *target, clock.WallNow(), history);
}

absl::Status MoveToPostgres(const Config& config, Clock& clock) {
  const StateFolder state(config.state());
  std::error_code error;
  if (!fs::exists(state.Database(), error)) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_STATE",
                 absl::StrCat("there is no ", state.Database().string(), " to move"),
                 "start the controller: it makes its tables in the database itself");
  }
  SLIPWAY_RETURN_IF_ERROR(state.CheckUser());
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd lock, state.Lock());
  {
    // Brings it to this program's schema.
    SLIPWAY_ASSIGN_OR_RETURN(const auto store, SqlStore::Open(state.Database(), clock));
    SLIPWAY_RETURN_IF_ERROR(store->VerifyHistory());
  }
  return FillPostgres(config, state.Database(), state.Blobs(),
                      HistoryDraft{"",
                                   {UserName(), "slipway-controller on its own machine"},
                                   "store migrate",
                                   state.Database().string(),
                                   "ok"},
                      clock);
}

}  // namespace slipway::controller
