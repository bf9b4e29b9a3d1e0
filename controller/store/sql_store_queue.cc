// SqlStore: whose turn it is. The lease of each application, and the deployment that waits for it.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/names.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {
namespace {

// With the number in the text, so that the index of those that wait is used.
constexpr char kIsQueued[] = "state = 11";
static_assert(pb::DEPLOYMENT_STATE_QUEUED == 11);

using Pairs = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<Pairs> ReadPairs(Statement& list) {
  Pairs pairs;
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
    if (!row) return pairs;
    pairs.emplace_back(list.Text(0), list.Text(1));
  }
}

}  // namespace

absl::StatusOr<Lease> FindLease(Database& database, const std::string& app) {
  Statement find(database, "SELECT holder, epoch FROM leases WHERE app=?");
  find.Bind(app);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  return found ? Lease{find.Text(0), find.Unsigned(1)} : Lease();
}

absl::StatusOr<uint64_t> TakeLease(Database& database, const std::string& app,
                                   const std::string& id, uint64_t floor) {
  SLIPWAY_ASSIGN_OR_RETURN(const Lease lease, FindLease(database, app));
  const uint64_t epoch = std::max(lease.epoch, floor) + 1;
  Statement upsert(database,
                   "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (app) DO UPDATE SET "
                   "holder=excluded.holder, epoch=excluded.epoch");
  SLIPWAY_RETURN_IF_ERROR(upsert.BindAll(app, id, epoch).Run());
  return epoch;
}

absl::Status EndQueued(Database& database, Time now, int64_t deployment, pb::DeploymentState state,
                       const std::string& message, const HistoryDraft& history) {
  Statement end(database, "UPDATE deployments SET state=?, message=?, end_time=? WHERE number=?");
  SLIPWAY_RETURN_IF_ERROR(
      end.BindAll(static_cast<int>(state), message, ToMicros(now), deployment).Run());
  Statement hosts(database, "UPDATE rollouts SET state=? WHERE deployment=?");
  SLIPWAY_RETURN_IF_ERROR(hosts.BindAll(static_cast<int>(state), deployment).Run());
  pb::Event event;
  event.mutable_state()->set_state(state);
  event.mutable_state()->set_message(message);
  SLIPWAY_RETURN_IF_ERROR(InsertEvents(database, deployment, now, {event}).status());
  return WriteHistory(database, now, history);
}

absl::StatusOr<std::vector<std::string>> Supersede(Database& database, Time now,
                                                   const DeploymentHead& newer) {
  std::vector<std::pair<int64_t, std::string>> waiting;
  {
    Statement find(database,
                   absl::StrCat("SELECT number, id FROM deployments WHERE app=? AND ", kIsQueued));
    find.Bind(newer.app);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, find.Step());
      if (!row) break;
      waiting.emplace_back(find.Integer(0), find.Text(1));
    }
  }
  std::vector<std::string> superseded;
  for (const auto& [number, id] : waiting) {
    const std::string message = absl::StrCat("superseded by ", newer.id, " before it began");
    SLIPWAY_RETURN_IF_ERROR(
        EndQueued(database, now, number, pb::DEPLOYMENT_STATE_SUPERSEDED, message,
                  {newer.app, newer.actor, "supersede", DeploymentName(newer.app, id), message}));
    superseded.push_back(id);
  }
  return superseded;
}

absl::StatusOr<std::string> SqlStore::StartQueued(const std::string& app, uint64_t epoch_floor) {
  std::string id;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const Lease lease, FindLease(database, app));
    if (!lease.holder.empty()) return absl::OkStatus();
    int64_t number = 0;
    {
      Statement find(database, absl::StrCat("SELECT number, id FROM deployments WHERE app=? AND ",
                                            kIsQueued, " ORDER BY number LIMIT 1"));
      find.Bind(app);
      SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
      if (!found) return absl::OkStatus();
      number = find.Integer(0);
      id = find.Text(1);
    }
    SLIPWAY_ASSIGN_OR_RETURN(const uint64_t epoch, TakeLease(database, app, id, epoch_floor));
    // What served when it was asked for is not what serves now: its first preflight sees that.
    Statement start(database,
                    "UPDATE deployments SET state=?, epoch=?, previous_release='' WHERE number=?");
    start.BindAll(static_cast<int>(pb::DEPLOYMENT_STATE_PENDING), epoch, number);
    SLIPWAY_RETURN_IF_ERROR(start.Run());
    pb::Event event;
    event.mutable_state()->set_state(pb::DEPLOYMENT_STATE_PENDING);
    return InsertEvents(database, number, now, {event}).status();
  }));
  return id;
}

absl::StatusOr<Pairs> SqlStore::ListQueued() {
  Pairs queued;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    // Ordered by a sum, for by the number itself SQLite would walk through all deployments.
    Statement list(database, absl::StrCat("SELECT app, id FROM deployments WHERE ", kIsQueued,
                                          " ORDER BY number+0"));
    SLIPWAY_ASSIGN_OR_RETURN(queued, ReadPairs(list));
    return absl::OkStatus();
  }));
  return queued;
}

absl::StatusOr<Pairs> SqlStore::ListRunning() {
  Pairs running;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement list(database, "SELECT app, holder FROM leases WHERE holder != '' ORDER BY app");
    SLIPWAY_ASSIGN_OR_RETURN(running, ReadPairs(list));
    return absl::OkStatus();
  }));
  return running;
}

absl::StatusOr<std::string> SqlStore::LeaseHolder(const std::string& app) {
  Lease lease;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(lease, FindLease(database, app));
    return absl::OkStatus();
  }));
  return lease.holder;
}

}  // namespace slipway::controller
