// SqlStore: the numbered events of a deployment.
#include <algorithm>

#include "common/durations.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {

absl::StatusOr<uint64_t> InsertEvents(Database& database, int64_t deployment, Time now,
                                      const std::vector<pb::Event>& events) {
  uint64_t last = 0;
  {
    Statement find(database, "SELECT last_event, app, id FROM deployments WHERE number=?");
    find.Bind(deployment);
    SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
    if (found) last = find.Unsigned(0);
    if (!events.empty()) {
      SLIPWAY_RETURN_IF_ERROR(database.NotifyEvents(find.Text(1), find.Text(2)));
    }
  }
  for (pb::Event event : events) {
    event.set_sequence(++last);
    *event.mutable_time() = ToProto(now);
    Statement insert(database, "INSERT INTO events VALUES (?, ?, ?)");
    insert.BindAll(deployment, last).BindBlob(event.SerializeAsString());
    SLIPWAY_RETURN_IF_ERROR(insert.Post());
  }
  Statement update(database, "UPDATE deployments SET last_event=? WHERE number=?");
  SLIPWAY_RETURN_IF_ERROR(update.BindAll(last, deployment).Post());
  return last;
}

absl::StatusOr<uint64_t> SqlStore::AppendEvents(const std::string& app, const std::string& id,
                                                const std::vector<pb::Event>& events) {
  uint64_t last = 0;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    SLIPWAY_ASSIGN_OR_RETURN(last, InsertEvents(database, number, now, events));
    return absl::OkStatus();
  }));
  return last;
}

absl::StatusOr<std::vector<pb::Event>> SqlStore::ListEvents(const std::string& app,
                                                            const std::string& id, uint64_t after,
                                                            int limit) {
  std::vector<pb::Event> events;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    Statement list(database,
                   "SELECT event_proto FROM events WHERE deployment=? AND sequence > ? ORDER BY "
                   "sequence LIMIT ?");
    // A number beyond what SQLite's signed integers hold is beyond every event as well.
    list.BindAll(number, std::min(after, static_cast<uint64_t>(INT64_MAX)), limit);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      if (!events.emplace_back().ParseFromString(list.Text(0))) {
        return Error(absl::StatusCode::kDataLoss, "STORE_DAMAGED", "a stored event cannot be read");
      }
    }
  }));
  return events;
}

absl::StatusOr<bool> SqlStore::RemoveEvents(Time before) {
  // Few enough that nobody waits long for the database.
  constexpr int kAtATime = 100;
  std::vector<int64_t> numbers;
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    {
      Statement find(
          database,
          "SELECT number FROM deployments WHERE end_time < ? AND EXISTS (SELECT 1 FROM "
          "events WHERE deployment = number AND sequence < last_event) ORDER BY end_time "
          "LIMIT ?");
      find.BindAll(ToMicros(before), kAtATime);
      while (true) {
        SLIPWAY_ASSIGN_OR_RETURN(const bool row, find.Step());
        if (!row) break;
        numbers.push_back(find.Integer(0));
      }
    }
    for (const int64_t number : numbers) {
      // The last one says how it ended, to whoever watches it from the beginning.
      Statement remove(database,
                       "DELETE FROM events WHERE deployment=? AND sequence < (SELECT last_event "
                       "FROM deployments WHERE number=?)");
      SLIPWAY_RETURN_IF_ERROR(remove.BindAll(number, number).Run());
    }
    return absl::OkStatus();
  }));
  return numbers.size() == static_cast<size_t>(kAtATime);
}

}  // namespace slipway::controller
