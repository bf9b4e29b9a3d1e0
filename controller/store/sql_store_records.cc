// SqlStore: records by kind and id.
#include "absl/strings/str_cat.h"

#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {
namespace {

absl::Status Insert(Database& database, const RecordDraft& record,
                    absl::string_view when_taken = "") {
  Statement insert(database, absl::StrCat("INSERT INTO records (kind, id, body, expire_time) "
                                          "VALUES (?, ?, ?, ?) ",
                                          when_taken));
  insert.BindAll(record.kind, record.id).BindBlob(record.body);
  BindOptionalTime(insert, record.expire_time);
  return insert.Run();
}

absl::Status WriteIfAny(Database& database, Time now, const std::optional<HistoryDraft>& history) {
  return history ? WriteHistory(database, now, *history) : absl::OkStatus();
}

absl::Status NoRecord(const std::string& kind, const std::string& id) {
  return NotFound(absl::StrCat(kind, "s/", id));
}

// NOT_FOUND also when it has expired.
absl::StatusOr<std::string> Find(Database& database, Time now, const std::string& kind,
                                 const std::string& id) {
  Statement find(database,
                 "SELECT body FROM records WHERE kind=? AND id=? AND (expire_time IS NULL OR "
                 "expire_time > ?)");
  find.BindAll(kind, id, ToMicros(now));
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  if (!found) return NoRecord(kind, id);
  return find.Text(0);
}

}  // namespace

absl::Status SqlStore::CreateRecord(const RecordDraft& record,
                                    const std::optional<HistoryDraft>& history) {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) -> absl::Status {
    {
      Statement find(database, "SELECT 1 FROM records WHERE kind=? AND id=?");
      find.BindAll(record.kind, record.id);
      SLIPWAY_ASSIGN_OR_RETURN(const bool taken, find.Step());
      if (taken) {
        return Error(absl::StatusCode::kAlreadyExists, "RECORD_EXISTS",
                     absl::StrCat(record.kind, "s/", record.id, " exists already"));
      }
    }
    SLIPWAY_RETURN_IF_ERROR(Insert(database, record));
    return WriteIfAny(database, now, history);
  });
}

absl::Status SqlStore::PutRecord(const RecordDraft& record,
                                 const std::optional<HistoryDraft>& history) {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) -> absl::Status {
    SLIPWAY_RETURN_IF_ERROR(Insert(database, record,
                                   "ON CONFLICT (kind, id) DO UPDATE SET body=excluded.body, "
                                   "expire_time=excluded.expire_time"));
    return WriteIfAny(database, now, history);
  });
}

absl::StatusOr<std::string> SqlStore::GetRecord(const std::string& kind, const std::string& id) {
  const Time now = clock_.WallNow();
  std::string body;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(body, Find(database, now, kind, id));
    return absl::OkStatus();
  }));
  return body;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SqlStore::ListRecords(
    const std::string& kind, const std::string& after, int limit) {
  const Time now = clock_.WallNow();
  std::vector<std::pair<std::string, std::string>> records;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement list(database,
                   "SELECT id, body FROM records WHERE kind=? AND id > ? AND (expire_time IS NULL "
                   "OR expire_time > ?) ORDER BY id LIMIT ?");
    list.BindAll(kind, after, ToMicros(now), limit);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      records.emplace_back(list.Text(0), list.Text(1));
    }
  }));
  return records;
}

absl::StatusOr<std::string> SqlStore::TakeRecord(const std::string& kind, const std::string& id,
                                                 const std::optional<HistoryDraft>& history) {
  const Time now = clock_.WallNow();
  std::string body;
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(body, Find(database, now, kind, id));
    Statement remove(database, "DELETE FROM records WHERE kind=? AND id=?");
    SLIPWAY_RETURN_IF_ERROR(remove.BindAll(kind, id).Run());
    return WriteIfAny(database, now, history);
  }));
  return body;
}

absl::Status SqlStore::RemoveRequests(Time before) {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) -> absl::Status {
    Statement date(database, "UPDATE requests SET create_time=? WHERE create_time=0");
    SLIPWAY_RETURN_IF_ERROR(date.Bind(ToMicros(now)).Run());
    Statement remove(database, "DELETE FROM requests WHERE create_time < ?");
    return remove.Bind(ToMicros(before)).Run();
  });
}

absl::Status SqlStore::RemoveExpiredRecords() {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) {
    Statement remove(database, "DELETE FROM records WHERE expire_time <= ?");
    return remove.Bind(ToMicros(now)).Run();
  });
}

}  // namespace slipway::controller
