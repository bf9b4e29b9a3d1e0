#include "controller/backup.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "common/blob_store.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/status.h"
#include "common/user.h"
#include "controller/access/audit.h"
#include "controller/access/certificates.h"
#include "controller/config.h"
#include "controller/move_state.h"
#include "controller/state_folder.h"
#include "controller/store/release_files.h"
#include "controller/store/sql_store.h"
#include "controller/store/table_copy.h"

#include "slipway/store/v1/records.pb.h"

namespace slipway::controller {
namespace {

namespace fs = std::filesystem;
using Config = config::v1::ControllerConfig;
using CopyFile = std::function<absl::Status(const fs::path& from, const fs::path& to)>;

constexpr char kPartial[] = ".partial";

Actor Here() { return {UserName(), "slipway-controller on its own machine"}; }

std::string NameOf(Time time) {
  return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

bool IsBackupName(const std::string& name) {
  constexpr absl::string_view kPattern = "dddddddd?dddddd?";
  if (name.size() != kPattern.size() || name[8] != 'T' || name.back() != 'Z') return false;
  for (size_t i = 0; i < name.size(); ++i) {
    if (kPattern[i] == 'd' && !absl::ascii_isdigit(static_cast<unsigned char>(name[i])))
      return false;
  }
  return true;
}

absl::Status FileError(const fs::path& path, const std::error_code& error) {
  errno = error.value();
  return ErrnoError(path.string());
}

absl::Status Copy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  return error ? FileError(from, error) : absl::OkStatus();
}

// The regular files below a folder; without the folder there are none. One that goes meanwhile is left out.
absl::Status CopyFiles(const fs::path& from, const fs::path& to, const CopyFile& copy) {
  std::error_code error;
  if (!fs::exists(from, error)) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(to));
  for (fs::recursive_directory_iterator one(from, error), end; !error && one != end;
       one.increment(error)) {
    const fs::path target = to / fs::relative(one->path(), from, error);
    const fs::file_status kind = one->symlink_status(error);
    if (fs::is_directory(kind)) {
      SLIPWAY_RETURN_IF_ERROR(MakeFolders(target));
    } else if (fs::is_regular_file(kind)) {
      const absl::Status copied = copy(one->path(), target);
      if (!copied.ok() && !absl::IsNotFound(copied)) return copied;
    }
  }
  return error ? FileError(from, error) : absl::OkStatus();
}

// What stands beside the database, from one state folder to another.
absl::Status CopyBeside(const StateFolder& from, const StateFolder& to, const CopyFile& copy_blob) {
  SLIPWAY_RETURN_IF_ERROR(Copy(from.Key(), to.Key()));
  SLIPWAY_RETURN_IF_ERROR(CopyFiles(from.Ssh(), to.Ssh(), Copy));
  // Its own certificate is made anew when it is missing.
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(to.Tls()));
  for (const fs::path& file : Certificates::AuthorityFiles(from.Tls())) {
    std::error_code error;
    if (!fs::exists(file, error)) continue;
    SLIPWAY_RETURN_IF_ERROR(Copy(file, to.Tls() / file.filename()));
  }
  return CopyFiles(from.Blobs(), to.Blobs(), copy_blob);
}

// Oldest first.
absl::StatusOr<std::vector<fs::path>> Backups(const fs::path& into) {
  std::error_code error;
  std::vector<fs::path> backups;
  for (fs::directory_iterator one(into, error), end; !error && one != end; one.increment(error)) {
    if (IsBackupName(one->path().filename())) backups.push_back(one->path());
  }
  if (error) return FileError(into, error);
  std::sort(backups.begin(), backups.end());
  return backups;
}

absl::StatusOr<int> RemoveOldest(const fs::path& into, int keep) {
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<fs::path> backups, Backups(into));
  std::error_code error;
  int removed = 0;
  for (; !error && backups.size() > static_cast<size_t>(keep); ++removed) {
    fs::remove_all(backups.front(), error);
    backups.erase(backups.begin());
  }
  if (error) return FileError(into, error);
  return removed;
}

// For blobs, which are never changed in place. Under a service manager the state is another mount than the backups, and only the last
// backup's can be linked to.
CopyFile LinkOrCopy(const StateFolder& state, const std::vector<fs::path>& earlier) {
  const fs::path last = earlier.empty() ? fs::path() : StateFolder(earlier.back()).Blobs();
  return [blobs = state.Blobs(), last](const fs::path& from, const fs::path& to) -> absl::Status {
    std::error_code error;
    fs::create_hard_link(from, to, error);
    if (!error) return absl::OkStatus();
    if (!last.empty()) {
      fs::create_hard_link(last / from.lexically_relative(blobs), to, error);
      if (!error) return absl::OkStatus();
    }
    return Copy(from, to);
  };
}

// The files of releases that only the shared database has.
absl::Status FetchBlobs(const PostgresOptions& options, const StateFolder& to,
                        const std::vector<fs::path>& earlier, Clock& clock) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto store, SqlStore::OpenBeside(options, clock));
  SLIPWAY_ASSIGN_OR_RETURN(const auto blobs, BlobStore::Open(to.Blobs()));
  ReleaseFiles files(*blobs, *store, clock);
  SLIPWAY_ASSIGN_OR_RETURN(const auto digests,
                           files.WrittenBefore(clock.WallNow() + std::chrono::hours(24)));
  std::error_code error;
  if (!earlier.empty()) {
    for (const std::string& digest : digests) {
      const fs::path file = blobs->PathOf(digest).lexically_relative(to.Root());
      if (!fs::exists(earlier.back() / file, error) || blobs->Has(digest)) continue;
      SLIPWAY_RETURN_IF_ERROR(MakeFolders((to.Root() / file).parent_path()));
      fs::create_hard_link(earlier.back() / file, to.Root() / file, error);
    }
  }
  SLIPWAY_RETURN_IF_ERROR(files.Fetch(digests));
  fs::remove(to.Blobs() / "tmp", error);
  return absl::OkStatus();
}

absl::Status Fill(const Config& config, const StateFolder& to, const std::vector<fs::path>& earlier,
                  Clock& clock) {
  const StateFolder from(config.state());
  const auto options = PostgresOf(config);
  if (options) {
    SLIPWAY_ASSIGN_OR_RETURN(const auto database,
                             PostgresDatabase::Open(*options, PostgresDatabase::Fence::kNone));
    SLIPWAY_RETURN_IF_ERROR(CopyToFile(*database, to.Database()));
  } else {
    SLIPWAY_RETURN_IF_ERROR(SqlStore::Copy(from.Database(), to.Database(), clock));
  }
  // After the database, so that every file is there which a release of the copy is made of.
  SLIPWAY_RETURN_IF_ERROR(CopyBeside(from, to, LinkOrCopy(from, earlier)));
  if (options) SLIPWAY_RETURN_IF_ERROR(FetchBlobs(*options, to, earlier, clock));
  return SyncFileSystem(to.Root());
}

// Held by whoever fills it, and empty.
absl::StatusOr<UniqueFd> TakePartial(const StateFolder& partial) {
  auto lock = partial.Lock();
  if (DetailOf(lock.status()).reason() == "STATE_IN_USE") {
    return Error(absl::StatusCode::kFailedPrecondition, "BACKUP_RUNNING",
                 absl::StrCat("another backup is being made at ", partial.Root().string()),
                 "wait for it");
  }
  if (!lock.ok()) return lock.status();
  std::error_code error;
  for (const auto& left : fs::directory_iterator(partial.Root(), error)) {
    fs::remove_all(left.path(), error);
  }
  if (error) return FileError(partial.Root(), error);
  return lock;
}

absl::Status Remember(const Config& config, const fs::path& folder, Time time, Clock& clock) {
  const auto options = PostgresOf(config);
  SLIPWAY_ASSIGN_OR_RETURN(const auto store,
                           options ? SqlStore::OpenBeside(*options, clock)
                                   : SqlStore::Open(StateFolder(config.state()).Database(), clock));
  store::v1::BackupRecord record;
  *record.mutable_time() = ToProto(time);
  record.set_folder(folder.string());
  return store->PutRecord({kBackupKind, kNewestId, record.SerializeAsString(), std::nullopt},
                          HistoryDraft{"", Here(), "backup", folder.string(), "ok"});
}

// Of what another state was sealed with.
absl::StatusOr<bool> HasOtherKey(const StateFolder& state, const StateFolder& backup) {
  const auto key = ReadFile(state.Key());
  if (absl::IsNotFound(key.status())) return false;
  SLIPWAY_RETURN_IF_ERROR(key.status());
  SLIPWAY_ASSIGN_OR_RETURN(const std::string kept, ReadFile(backup.Key()));
  return *key != kept;
}

absl::Status Mark(const StateFolder& state, const fs::path& database, const Config& config,
                  const fs::path& from, Clock& clock) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto store, SqlStore::Open(database, clock));
  SLIPWAY_RETURN_IF_ERROR(store->VerifyHistory());
  SLIPWAY_ASSIGN_OR_RETURN(const auto newest, store->ListHistory("", 0, 1));
  SLIPWAY_ASSIGN_OR_RETURN(const auto certificates,
                           Certificates::Open(state.Tls(), config.tls(), *store, clock));
  return RecordRestore(*store, *certificates, newest.empty() ? HistoryRecord() : newest.front(),
                       clock.WallNow(), Here(), fs::absolute(from).lexically_normal().string());
}

}  // namespace

absl::StatusOr<Backup> MakeBackup(const Config& config, const fs::path& into, int keep,
                                  Clock& clock) {
  const StateFolder state(config.state());
  std::error_code error;
  if (!config.has_database() && !fs::exists(state.Database(), error)) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_STATE",
                 absl::StrCat("there is no ", state.Database().string()),
                 "is `state` in the configuration file the folder of the controller that runs?");
  }
  const Time begun = clock.WallNow();
  Backup backup;
  backup.folder = fs::absolute(into).lexically_normal() / NameOf(begun);
  const StateFolder partial(backup.folder.parent_path() / kPartial);
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd lock, TakePartial(partial));
  SLIPWAY_ASSIGN_OR_RETURN(const auto earlier, Backups(backup.folder.parent_path()));
  absl::Status made = Fill(config, partial, earlier, clock);
  if (made.ok()) {
    fs::rename(partial.Root(), backup.folder, error);
    made = error ? FileError(backup.folder, error) : SyncFolder(backup.folder.parent_path());
  }
  if (!made.ok()) {
    fs::remove_all(partial.Root(), error);
    return made;
  }
  SLIPWAY_RETURN_IF_ERROR(Remember(config, backup.folder, begun, clock));
  if (keep > 0) {
    SLIPWAY_ASSIGN_OR_RETURN(backup.removed, RemoveOldest(backup.folder.parent_path(), keep));
  }
  return backup;
}

std::optional<Time> NewestBackup(Store& store) {
  store::v1::BackupRecord record;
  const auto body = store.GetRecord(kBackupKind, kNewestId);
  if (!body.ok() || !record.ParseFromString(*body)) return std::nullopt;
  return FromProto(record.time());
}

absl::Status RestoreBackup(const Config& config, const fs::path& from, Clock& clock) {
  const StateFolder backup(from);
  const StateFolder state(config.state());
  std::error_code error;
  if (!fs::exists(backup.Database(), error) || !fs::exists(backup.Key(), error)) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_A_BACKUP",
                 absl::StrCat(from.string(), " is no backup: it has no state.db, or no key"),
                 "name the folder that `slipway-controller backup` has made, such as "
                 "/var/backups/slipway/20261125T073000Z");
  }
  SLIPWAY_RETURN_IF_ERROR(state.CheckUser());
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd lock, state.Lock());
  SLIPWAY_ASSIGN_OR_RETURN(const bool other_key, HasOtherKey(state, backup));
  if (config.has_database()) SLIPWAY_RETURN_IF_ERROR(CheckPostgresEmpty(config, clock));
  if (fs::exists(state.Database(), error) || (config.has_database() && other_key)) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "STATE_EXISTS",
        absl::StrCat(state.Root().string(), " holds a state already"),
        absl::StrCat("move what is in it away first, and keep it: state.db*, key, tls, ssh, "
                     "blobs"));
  }
  // Under its own name only when everything else is there: without it a state folder is an empty one.
  const fs::path database = state.Root() / "state.db.restored";
  for (const char* left : {"", "-wal", "-shm"}) fs::remove(database.string() + left, error);
  SLIPWAY_RETURN_IF_ERROR(Copy(backup.Database(), database));
  SLIPWAY_RETURN_IF_ERROR(CopyBeside(backup, state, Copy));
  SLIPWAY_RETURN_IF_ERROR(Mark(state, database, config, from, clock));
  SLIPWAY_RETURN_IF_ERROR(SyncFileSystem(state.Root()));
  if (config.has_database()) {
    SLIPWAY_RETURN_IF_ERROR(FillPostgres(config, database, state.Blobs(), std::nullopt, clock));
    fs::remove(database, error);
    return absl::OkStatus();
  }
  fs::rename(database, state.Database(), error);
  if (error) return FileError(database, error);
  return SyncFolder(state.Root());
}

}  // namespace slipway::controller
