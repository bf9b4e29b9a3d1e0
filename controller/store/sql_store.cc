#include "controller/store/sql_store.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/store/migrations.h"
#include "controller/store/postgres_database.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sqlite.h"

namespace slipway::controller {

using Fence = PostgresDatabase::Fence;

absl::StatusOr<std::unique_ptr<SqlStore>> SqlStore::Open(const std::string& path, Clock& clock,
                                                         CommitObserver observer) {
  SLIPWAY_ASSIGN_OR_RETURN(auto writer, SqliteDatabase::Open(path));
  SLIPWAY_RETURN_IF_ERROR(Migrate(*writer));
  SLIPWAY_ASSIGN_OR_RETURN(auto reader, SqliteDatabase::Open(path));
  SLIPWAY_RETURN_IF_ERROR(reader->Execute("PRAGMA query_only=ON"));
  return std::unique_ptr<SqlStore>(
      new SqlStore(std::move(writer), std::move(reader), clock, std::move(observer)));
}

absl::StatusOr<std::unique_ptr<SqlStore>> SqlStore::Open(const PostgresOptions& options,
                                                         Clock& clock, CommitObserver observer) {
  {
    SLIPWAY_ASSIGN_OR_RETURN(const auto database, PostgresDatabase::Open(options, Fence::kNone));
    SLIPWAY_RETURN_IF_ERROR(MigrateIfEmpty(*database));
  }
  return OpenBehind(options, Fence::kLeadership, clock, std::move(observer));
}

absl::StatusOr<std::unique_ptr<SqlStore>> SqlStore::OpenBeside(const PostgresOptions& options,
                                                               Clock& clock) {
  {
    SLIPWAY_ASSIGN_OR_RETURN(const auto database, PostgresDatabase::Open(options, Fence::kNone));
    SLIPWAY_RETURN_IF_ERROR(CheckMigrated(*database));
  }
  return OpenBehind(options, Fence::kTurn, clock, nullptr);
}

absl::StatusOr<std::unique_ptr<SqlStore>> SqlStore::OpenBehind(const PostgresOptions& options,
                                                               PostgresDatabase::Fence fence,
                                                               Clock& clock,
                                                               CommitObserver observer) {
  SLIPWAY_ASSIGN_OR_RETURN(auto writer, PostgresDatabase::Open(options, fence));
  SLIPWAY_ASSIGN_OR_RETURN(auto reader, PostgresDatabase::Open(options, Fence::kNone));
  return std::unique_ptr<SqlStore>(
      new SqlStore(std::move(writer), std::move(reader), clock, std::move(observer)));
}

absl::Status SqlStore::Lead(uint64_t epoch) {
  MutexLock lock(write_mutex_);
  writer_->Lead(epoch);
  return Migrate(*writer_);
}

absl::Status SqlStore::Copy(const std::string& from, const std::string& to, Clock& clock) {
  {
    SLIPWAY_ASSIGN_OR_RETURN(const auto database, SqliteDatabase::Open(from));
    SLIPWAY_RETURN_IF_ERROR(CheckMigrated(*database));
    SLIPWAY_RETURN_IF_ERROR(database->CopyInto(to));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto copy, Open(to, clock));
  return copy->VerifyHistory();
}

SqlStore::SqlStore(std::unique_ptr<Database> writer, std::unique_ptr<Database> reader, Clock& clock,
                   CommitObserver observer)
    : clock_(clock),
      observer_(std::move(observer)),
      writer_(std::move(writer)),
      reader_(std::move(reader)) {}

absl::Status SqlStore::Write(const std::function<absl::Status(Database&)>& body) {
  MutexLock lock(write_mutex_);
  WriteTransaction transaction(*writer_);
  SLIPWAY_RETURN_IF_ERROR(transaction.Begin());
  SLIPWAY_RETURN_IF_ERROR(body(*writer_));
  const auto start = std::chrono::steady_clock::now();
  SLIPWAY_RETURN_IF_ERROR(transaction.Commit());
  if (observer_) observer_(std::chrono::steady_clock::now() - start);
  return absl::OkStatus();
}

absl::Status SqlStore::Read(const std::function<absl::Status(Database&)>& body) {
  MutexLock lock(read_mutex_);
  // One snapshot for all of the body's statements.
  SLIPWAY_RETURN_IF_ERROR(reader_->BeginRead());
  absl::Status status = body(*reader_);
  if (status.ok()) status = reader_->Commit();
  if (!status.ok()) reader_->Rollback();
  return status;
}

absl::Status SqlStore::LimitPagesForTesting(int pages) {
  MutexLock lock(write_mutex_);
  return writer_->Execute(absl::StrCat("PRAGMA max_page_count=", pages == 0 ? 1 << 30 : pages));
}

int64_t ToMicros(Time time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

Time FromMicros(int64_t micros) { return Time(std::chrono::microseconds(micros)); }

void BindOptionalTime(Statement& statement, const std::optional<Time>& time) {
  if (time) {
    statement.Bind(ToMicros(*time));
  } else {
    statement.BindNull();
  }
}

std::optional<Time> OptionalTime(const Statement& statement, int column) {
  if (statement.IsNull(column)) return std::nullopt;
  return FromMicros(statement.Integer(column));
}

absl::StatusOr<std::optional<std::string>> SeenRequest(Database& database, const std::string& app,
                                                       const Request& request) {
  if (request.id.empty()) return std::nullopt;
  Statement find(database, "SELECT parameters_hash, answer FROM requests WHERE app=? AND id=?");
  find.BindAll(app, request.id);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  if (!found) return std::nullopt;
  if (find.Text(0) != request.parameters_hash) {
    return Error(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
                 absl::StrCat("request id ", request.id, " was used for another request"),
                 "use a new request id for each new request", find.Text(1));
  }
  return find.Text(1);
}

absl::Status SaveRequest(Database& database, const std::string& app, const Request& request,
                         const std::string& answer) {
  if (request.id.empty()) return absl::OkStatus();
  Statement insert(database, "INSERT INTO requests VALUES (?, ?, ?, ?, ?)");
  insert.BindAll(app, request.id).BindBlob(request.parameters_hash).Bind(answer);
  // The time is filled in by RemoveRequests(), which has a clock: a day more or less does not matter there.
  insert.Bind(int64_t{0});
  return insert.Run();
}

absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, "NOT_FOUND", absl::StrCat(name, " does not exist"), "",
               name);
}

absl::StatusOr<std::optional<std::string>> SqlStore::FindRequest(const std::string& app,
                                                                 const Request& request) {
  std::optional<std::string> answer;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(answer, SeenRequest(database, app, request));
    return absl::OkStatus();
  }));
  return answer;
}

absl::Status SqlStore::RememberRequest(const std::string& app, const Request& request,
                                       const std::string& answer) {
  if (request.id.empty()) return absl::OkStatus();
  return Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, app, request));
    return seen ? absl::OkStatus() : SaveRequest(database, app, request, answer);
  });
}

}  // namespace slipway::controller
