// SqlStore: the hash chain, and what hosts did on their own.
#include "absl/strings/str_cat.h"

#include "common/digest.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {
namespace {

constexpr absl::string_view kColumns =
    "SELECT sequence, time, app, actor, action, subject, outcome, hash, origin FROM history ";

HistoryRecord ReadRow(const Statement& row) {
  return {row.Unsigned(0), FromMicros(row.Integer(1)),
          row.Text(2),     row.Text(3),
          row.Text(4),     row.Text(5),
          row.Text(6),     row.Text(7),
          row.Text(8)};
}

absl::Status Broken(uint64_t sequence, absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, "HISTORY_BROKEN",
               absl::StrCat("history row ", sequence, ": ", what),
               "the database was changed by something else than Slipway; compare it with a backup");
}

}  // namespace

std::string HistoryHash(const std::string& previous, const HistoryRecord& row) {
  Sha256 hash;
  hash.Update(previous);
  for (const std::string& field : {absl::StrCat(row.sequence), absl::StrCat(ToMicros(row.time)),
                                   row.app, row.actor, row.action, row.subject, row.outcome}) {
    hash.Update(absl::StrCat(field.size(), ":"));
    hash.Update(field);
  }
  // Rows from before there was an origin keep the hash they have.
  if (!row.origin.empty()) hash.Update(absl::StrCat(row.origin.size(), ":", row.origin));
  return hash.Finish();
}

absl::Status WriteHistory(Database& database, Time now, const HistoryDraft& draft) {
  HistoryRecord row;
  std::string previous;
  {
    Statement head(database, "SELECT sequence, hash FROM history_head");
    SLIPWAY_ASSIGN_OR_RETURN(const bool found, head.Step());
    if (!found) return Broken(0, "the chain's head is gone");
    row.sequence = head.Unsigned(0) + 1;
    previous = head.Text(1);
  }
  row.time = FromMicros(ToMicros(now));
  // As they will be read, for the hash is over them.
  row.app = StorableText(draft.app);
  row.actor = StorableText(draft.actor.name);
  row.origin = StorableText(draft.actor.origin);
  row.action = StorableText(draft.action);
  row.subject = StorableText(draft.subject);
  row.outcome = StorableText(draft.outcome);
  row.hash = HistoryHash(previous, row);
  Statement insert(database, "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.BindAll(row.sequence, ToMicros(row.time), row.app, row.actor, row.action, row.subject,
                 row.outcome);
  SLIPWAY_RETURN_IF_ERROR(insert.BindBlob(row.hash).Bind(row.origin).Post());
  Statement head(database, "UPDATE history_head SET sequence=?, hash=?");
  return head.Bind(row.sequence).BindBlob(row.hash).Post();
}

absl::Status SqlStore::AppendHistory(const HistoryDraft& draft) {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) { return WriteHistory(database, now, draft); });
}

absl::StatusOr<std::vector<HistoryRecord>> SqlStore::ListHistory(const std::string& app,
                                                                 uint64_t before, int limit) {
  std::vector<HistoryRecord> rows;
  const int64_t below = before == 0 ? INT64_MAX : static_cast<int64_t>(before);
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement list(database, absl::StrCat(kColumns, app.empty() ? "WHERE ?1 = ''" : "WHERE app=?1",
                                          " AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3"));
    list.BindAll(app, below, limit);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      rows.push_back(ReadRow(list));
    }
  }));
  return rows;
}

absl::Status VerifyHistory(Database& database) {
  uint64_t expected = 0;
  std::string previous;
  Statement list(database, absl::StrCat(kColumns, "ORDER BY sequence"));
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool more, list.ScanStep());
    if (!more) break;
    const HistoryRecord row = ReadRow(list);
    if (row.sequence != ++expected) return Broken(expected, "is missing");
    if (row.hash != HistoryHash(previous, row)) return Broken(expected, "does not fit its hash");
    previous = row.hash;
  }
  Statement head(database, "SELECT sequence, hash FROM history_head");
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, head.Step());
  if (!found || head.Unsigned(0) != expected || head.Text(1) != previous) {
    return Broken(expected + 1, "is missing: the end was cut off");
  }
  return absl::OkStatus();
}

absl::Status SqlStore::VerifyHistory() {
  return Read([](Database& database) { return controller::VerifyHistory(database); });
}

absl::StatusOr<uint64_t> SqlStore::RecordLocalEvents(const std::string& host,
                                                     const std::vector<xpb::LocalEvent>& events) {
  uint64_t seen = 0;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    Statement find(database, "SELECT seen FROM local_events WHERE host=?");
    find.Bind(host);
    SLIPWAY_ASSIGN_OR_RETURN(const bool known, find.Step());
    seen = known ? find.Unsigned(0) : 0;
    for (const xpb::LocalEvent& event : events) {
      if (event.sequence() <= seen) continue;
      seen = event.sequence();
      if (event.action() == "local_rollback" && event.outcome() == "ok")
        SLIPWAY_RETURN_IF_ERROR(InsertLocalRollback(database, host, event));
      const std::string what =
          event.release().empty() ? "" : absl::StrCat(" release ", event.release());
      SLIPWAY_RETURN_IF_ERROR(WriteHistory(
          database, now,
          {event.app(), event.actor().empty() ? HostName(host) : event.actor(), event.action(),
           absl::StrCat(ApplicationName(event.app()), " on ", HostName(host)),
           absl::StrCat(event.outcome(), what, event.detail().empty() ? "" : ": ",
                        event.detail())}));
    }
    Statement upsert(database,
                     "INSERT INTO local_events VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET "
                     "seen=excluded.seen");
    return upsert.BindAll(host, seen).Run();
  }));
  return seen;
}

}  // namespace slipway::controller
