#include "controller/store/leadership.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/status.h"
#include "controller/store/migrations.h"

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;

// A renewal that takes longer comes too late anyway.
constexpr milliseconds kLongestWait{5'000};

absl::Status Lost() {
  return Error(absl::StatusCode::kAborted, "NOT_LEADER", "this controller does not lead any more",
               "`slipway doctor` names the one that does");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Leadership>> Leadership::Open(PostgresOptions options) {
  options.statement_timeout = std::min(options.statement_timeout, kLongestWait);
  SLIPWAY_ASSIGN_OR_RETURN(auto database,
                           PostgresDatabase::Open(options, PostgresDatabase::Fence::kNone));
  SLIPWAY_RETURN_IF_ERROR(MigrateIfEmpty(*database));
  return std::unique_ptr<Leadership>(new Leadership(std::move(database)));
}

absl::StatusOr<uint64_t> Leadership::Change(Statement& statement) {
  WriteTransaction transaction(*database_);
  SLIPWAY_RETURN_IF_ERROR(transaction.Begin());
  SLIPWAY_ASSIGN_OR_RETURN(const bool changed, statement.Step());
  if (!changed) return Lost();
  SLIPWAY_RETURN_IF_ERROR(database_->Post("SELECT pg_notify('slipway_leadership', '')", {}));
  SLIPWAY_RETURN_IF_ERROR(transaction.Commit());
  return statement.Unsigned(0);
}

absl::StatusOr<uint64_t> Leadership::Take(const std::string& holder, const std::string& address,
                                          milliseconds time) {
  MutexLock lock(mutex_);
  // Not now(), which is when the transaction began: it may have waited for the row since. The clock's share makes a database that
  // was begun anew, or restored, go on above what hosts have seen.
  Statement take(*database_,
                 "UPDATE leadership SET holder=?, address=?, epoch=GREATEST(epoch + 1, "
                 "extract(epoch FROM clock_timestamp())::bigint), writes_before=writes, "
                 "expire_time=clock_timestamp() + ? * interval '1 ms' WHERE only_row=1 AND "
                 "(holder='' OR expire_time <= clock_timestamp()) RETURNING epoch");
  take.BindAll(holder, address, static_cast<int64_t>(time.count()));
  const auto epoch = Change(take);
  if (!absl::IsAborted(epoch.status())) return epoch;
  SLIPWAY_ASSIGN_OR_RETURN(const Leader leader, Read());
  return Error(absl::StatusCode::kFailedPrecondition, "ANOTHER_LEADS",
               absl::StrCat(leader.holder, " at ", leader.address, " leads"),
               "stop it first; one that was killed loses the lead within seconds", leader.address);
}

absl::Status Leadership::Renew(uint64_t epoch, milliseconds time) {
  MutexLock lock(mutex_);
  WriteTransaction transaction(*database_);
  SLIPWAY_RETURN_IF_ERROR(transaction.Begin());
  Statement renew(*database_,
                  "UPDATE leadership SET expire_time=clock_timestamp() + ? * interval '1 ms' WHERE "
                  "only_row=1 AND epoch=? AND holder != '' RETURNING epoch");
  renew.BindAll(static_cast<int64_t>(time.count()), epoch);
  SLIPWAY_ASSIGN_OR_RETURN(const bool held, renew.Step());
  return held ? transaction.Commit() : Lost();
}

absl::Status Leadership::Release(uint64_t epoch) {
  MutexLock lock(mutex_);
  Statement release(*database_,
                    "UPDATE leadership SET holder='', expire_time=clock_timestamp() WHERE "
                    "only_row=1 AND epoch=? AND holder != '' RETURNING epoch");
  return Change(release.Bind(epoch)).status();
}

absl::StatusOr<Leadership::Leader> Leadership::Current() {
  MutexLock lock(mutex_);
  return Read();
}

absl::StatusOr<Leadership::Leader> Leadership::Read() {
  SLIPWAY_RETURN_IF_ERROR(database_->BeginRead());
  Statement find(*database_,
                 "SELECT holder, address, epoch, expire_time <= clock_timestamp() FROM leadership "
                 "WHERE only_row=1");
  const absl::StatusOr<bool> found = find.Step();
  if (!found.ok()) {
    database_->Rollback();
    return found.status();
  }
  SLIPWAY_RETURN_IF_ERROR(database_->Commit());
  if (!*found) return absl::DataLossError("the row of table leadership is gone");
  return Leader{find.Text(0), find.Text(1), find.Unsigned(2), find.Integer(3) != 0};
}

}  // namespace slipway::controller
