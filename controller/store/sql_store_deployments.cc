// SqlStore: deployments and their steps.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/adopted_release.h"
#include "common/digest.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {
namespace {

constexpr absl::string_view kColumns =
    "SELECT number, app, id, kind, state, reason, message, release, previous_release, commit_name, "
    "actor, description, epoch, plan_version, create_time, end_time, cancel_requested, last_event, "
    "serves, update_services, origin, hold_before_flip, released, tolerated_failures, "
    "resume_requested, canaries, left_out, cancel_when_abandoned FROM deployments ";

// As REASON:HOST, separated by spaces; the reason is its number.
std::string LeftOutText(const std::vector<LeftOut>& left_out) {
  return absl::StrJoin(left_out, " ", [](std::string* text, const LeftOut& one) {
    absl::StrAppend(text, static_cast<int>(one.reason), ":", one.host);
  });
}

std::vector<LeftOut> ParseLeftOut(const std::string& text) {
  std::vector<LeftOut> left_out;
  for (const absl::string_view one : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(one, absl::MaxSplits(':', 1));
    int reason = 0;
    // What a newer program wrote is left out for a reason that this one does not know.
    if (!absl::SimpleAtoi(parts.first, &reason)) reason = pb::LEFT_OUT_REASON_UNSPECIFIED;
    left_out.push_back({std::string(parts.second), static_cast<pb::LeftOutReason>(reason)});
  }
  return left_out;
}

DeploymentRecord ReadDeployment(const Statement& row) {
  DeploymentRecord record;
  record.app = row.Text(1);
  record.id = row.Text(2);
  record.kind = static_cast<pb::DeploymentKind>(row.Integer(3));
  record.state = static_cast<pb::DeploymentState>(row.Integer(4));
  record.reason = static_cast<pb::FailureReason>(row.Integer(5));
  record.message = row.Text(6);
  record.release = row.Text(7);
  record.previous_release = row.Text(8);
  record.commit = row.Text(9);
  record.actor = Actor(row.Text(10), row.Text(20));
  record.description = row.Text(11);
  record.epoch = row.Unsigned(12);
  record.plan_version = static_cast<uint32_t>(row.Integer(13));
  record.create_time = FromMicros(row.Integer(14));
  record.end_time = OptionalTime(row, 15);
  record.cancel_requested = row.Integer(16) != 0;
  record.last_event = row.Unsigned(17);
  record.serves = row.Integer(18) != 0;
  record.update_services = absl::StrSplit(row.Text(19), ' ', absl::SkipEmpty());
  record.hold_before_flip = row.Integer(21) != 0;
  record.released = row.Integer(22) != 0;
  record.tolerated_failures = static_cast<uint32_t>(row.Integer(23));
  record.resume_requested = row.Integer(24) != 0;
  record.canaries = static_cast<uint32_t>(row.Integer(25));
  record.left_out = ParseLeftOut(row.Text(26));
  record.cancel_when_abandoned = row.Integer(27) != 0;
  return record;
}

absl::Status ReadSteps(Database& database, int64_t number, DeploymentRecord& record) {
  Statement hosts(database,
                  "SELECT host, state, slot FROM rollouts WHERE deployment=? ORDER BY position");
  hosts.Bind(number);
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, hosts.Step());
    if (!row) break;
    record.rollouts.push_back({hosts.Text(0),
                               static_cast<pb::DeploymentState>(hosts.Integer(1)),
                               static_cast<pb::Slot>(hosts.Integer(2)),
                               {}});
  }
  Statement steps(database,
                  "SELECT host, name, state, attempt, reason, summary, start_time, duration, "
                  "evidence_proto FROM steps WHERE deployment=? ORDER BY host, position");
  steps.Bind(number);
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, steps.Step());
    if (!row) return absl::OkStatus();
    StepRecord& step = record.rollouts.at(steps.Unsigned(0)).steps.emplace_back();
    step.name = steps.Text(1);
    step.state = static_cast<pb::StepState>(steps.Integer(2));
    step.attempt = static_cast<uint32_t>(steps.Integer(3));
    step.reason = static_cast<pb::FailureReason>(steps.Integer(4));
    step.summary = steps.Text(5);
    step.start_time = OptionalTime(steps, 6);
    step.duration = std::chrono::nanoseconds(steps.Integer(7));
    if (!step.evidence.ParseFromString(steps.Text(8))) {
      return Error(absl::StatusCode::kDataLoss, "STORE_DAMAGED", "stored evidence cannot be read");
    }
  }
}

absl::Status ReadList(Statement& list, std::vector<DeploymentRecord>& records) {
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
    if (!row) return absl::OkStatus();
    records.push_back(ReadDeployment(list));
  }
}

absl::StatusOr<std::string> FreeId(Database& database, const std::string& app,
                                   const std::string& wished) {
  std::string id = wished;
  for (int suffix = 2;; ++suffix) {
    Statement find(database, "SELECT 1 FROM deployments WHERE app=? AND id=?");
    find.BindAll(app, id);
    SLIPWAY_ASSIGN_OR_RETURN(const bool taken, find.Step());
    if (!taken) return id;
    id = absl::StrCat(wished, "-", suffix);
  }
}

absl::StatusOr<int64_t> InsertDeployment(Database& database, const DeploymentRecord& made) {
  Statement insert(database,
                   "INSERT INTO deployments (app, id, kind, state, reason, message, release, "
                   "previous_release, commit_name, actor, description, epoch, plan_version, "
                   "create_time, update_services, origin, hold_before_flip, canaries, left_out, "
                   "cancel_when_abandoned) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                   "?, ?, ?, ?) RETURNING number");
  insert.BindAll(made.app, made.id, static_cast<int>(made.kind), static_cast<int>(made.state),
                 static_cast<int>(made.reason), made.message, made.release, made.previous_release,
                 made.commit, made.actor.name, made.description, made.epoch, made.plan_version,
                 ToMicros(made.create_time), absl::StrJoin(made.update_services, " "),
                 made.actor.origin, made.hold_before_flip, made.canaries,
                 LeftOutText(made.left_out), made.cancel_when_abandoned);
  SLIPWAY_RETURN_IF_ERROR(insert.Run());
  const int64_t number = insert.Integer(0);
  for (size_t i = 0; i < made.rollouts.size(); ++i) {
    const RolloutRecord& rollout = made.rollouts[i];
    Statement host(database, "INSERT INTO rollouts VALUES (?, ?, ?, ?, ?)");
    SLIPWAY_RETURN_IF_ERROR(host.BindAll(number, static_cast<uint64_t>(i), rollout.host,
                                         static_cast<int>(rollout.state),
                                         static_cast<int>(rollout.slot))
                                .Post());
  }
  return number;
}

absl::Status UpsertStep(Database& database, int64_t number, const StepChange& change) {
  const StepRecord& step = change.step;
  Statement upsert(database,
                   "INSERT INTO steps (deployment, host, position, name, state, attempt, reason, "
                   "summary, duration, evidence_proto, start_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
                   "?, ?, ?) ON CONFLICT (deployment, host, position) DO UPDATE SET "
                   "name=excluded.name, state=excluded.state, attempt=excluded.attempt, "
                   "reason=excluded.reason, summary=excluded.summary, duration=excluded.duration, "
                   "evidence_proto=excluded.evidence_proto, start_time=excluded.start_time");
  upsert.BindAll(number, static_cast<uint64_t>(change.host), static_cast<uint64_t>(change.position),
                 step.name, static_cast<int>(step.state), step.attempt,
                 static_cast<int>(step.reason), step.summary,
                 static_cast<int64_t>(step.duration.count()));
  upsert.BindBlob(step.evidence.SerializeAsString());
  BindOptionalTime(upsert, step.start_time);
  return upsert.Post();
}

absl::Status UpdateDeployment(Database& database, int64_t number, const Transition& transition) {
  const DeploymentHead& record = transition.deployment;
  // A wish to go on is the store's until the deployment does.
  const bool paused = record.state == pb::DEPLOYMENT_STATE_PAUSED;
  Statement update(database,
                   "UPDATE deployments SET state=?, reason=?, message=?, previous_release=?, "
                   "serves=?, released=?, tolerated_failures=?, "
                   "resume_requested=resume_requested*?, last_transition=?, end_time=? WHERE "
                   "number=?");
  update.BindAll(static_cast<int>(record.state), static_cast<int>(record.reason), record.message,
                 record.previous_release, record.serves, record.released, record.tolerated_failures,
                 paused, transition.id);
  BindOptionalTime(update, record.end_time);
  SLIPWAY_RETURN_IF_ERROR(update.Bind(number).Post());
  for (const HostChange& change : transition.hosts) {
    Statement host(database,
                   "UPDATE rollouts SET state=?, slot=? WHERE deployment=? AND position=?");
    SLIPWAY_RETURN_IF_ERROR(host.BindAll(static_cast<int>(change.state),
                                         static_cast<int>(change.slot), number,
                                         static_cast<uint64_t>(change.host))
                                .Post());
  }
  for (const StepChange& change : transition.steps) {
    SLIPWAY_RETURN_IF_ERROR(UpsertStep(database, number, change));
  }
  return absl::OkStatus();
}

// For what must not take the place of a deployment that waits.
absl::Status CheckIdle(Database& database, const std::string& app, const Lease& lease) {
  Statement waiting(database, "SELECT id FROM deployments WHERE app=? AND state=?");
  waiting.BindAll(app, static_cast<int>(pb::DEPLOYMENT_STATE_QUEUED));
  SLIPWAY_ASSIGN_OR_RETURN(const bool waits, waiting.Step());
  if (lease.holder.empty() && !waits) return absl::OkStatus();
  const std::string other = waits ? waiting.Text(0) : lease.holder;
  return Error(absl::StatusCode::kFailedPrecondition, "BUSY",
               absl::StrCat("deployment ", other, " of ", app, waits ? " waits" : " is under way"),
               absl::StrCat("`slipway watch ", other, "`, and try again when it has ended"),
               DeploymentName(app, other));
}

}  // namespace

absl::StatusOr<int64_t> DeploymentNumber(Database& database, const std::string& app,
                                         const std::string& id) {
  Statement find(database, id == "-" ? "SELECT number FROM deployments WHERE app=?1 AND ?2 = '-' "
                                       "ORDER BY number DESC LIMIT 1"
                                     : "SELECT number FROM deployments WHERE app=?1 AND id=?2");
  find.BindAll(app, id);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  if (found) return find.Integer(0);
  if (id != "-") return NotFound(DeploymentName(app, id));
  return Error(absl::StatusCode::kNotFound, "NO_DEPLOYMENT",
               absl::StrCat(ApplicationName(app), " has no deployment yet"),
               "run `slipway deploy`");
}

// Deployments name their release: a row for the version that was taken over, by the specification of the
// newest release, which took over from it.
absl::Status EnsureAdoptedRelease(Database& database, const std::string& app, Time time) {
  Statement known(database, "SELECT 1 FROM releases WHERE app=? AND id=?");
  known.BindAll(app, kAdoptedRelease);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, known.Step());
  if (found) return absl::OkStatus();
  Statement newest(database,
                   "SELECT spec_revision FROM releases WHERE app=? ORDER BY number DESC LIMIT 1");
  newest.Bind(app);
  SLIPWAY_ASSIGN_OR_RETURN(const bool any, newest.Step());
  if (!any) return absl::OkStatus();
  Statement insert(database,
                   "INSERT INTO releases (app, id, manifest_digest, spec_revision, "
                   "environment_revision, commit_name, description, create_time, files, bytes) "
                   "VALUES (?, ?, ?, ?, 0, '', ?, ?, 0, 0)");
  insert.BindAll(app, kAdoptedRelease)
      .BindBlob(Sha256Of(""))
      .BindAll(newest.Integer(0), kAdoptedDescription, ToMicros(time));
  return insert.Run();
}

absl::Status InsertLocalRollback(Database& database, const std::string& host,
                                 const xpb::LocalEvent& event) {
  DeploymentRecord record;
  if (event.release() == kAdoptedRelease) {
    SLIPWAY_RETURN_IF_ERROR(EnsureAdoptedRelease(database, event.app(), FromProto(event.time())));
  }
  Statement release(database, "SELECT commit_name FROM releases WHERE app=? AND id=?");
  release.BindAll(event.app(), event.release());
  SLIPWAY_ASSIGN_OR_RETURN(const bool known, release.Step());
  // Of a controller before this one: the hash chain alone has it.
  if (!known) return absl::OkStatus();
  record.commit = release.Text(0);
  Statement before(database,
                   "SELECT release, (SELECT COUNT(*) FROM rollouts WHERE deployment=number) "
                   "FROM deployments WHERE app=? AND serves=1 ORDER BY number DESC LIMIT 1");
  before.Bind(event.app());
  SLIPWAY_ASSIGN_OR_RETURN(const bool served, before.Step());
  if (served) record.previous_release = before.Text(0);
  record.app = event.app();
  record.kind = pb::DEPLOYMENT_KIND_ROLLBACK;
  record.state = pb::DEPLOYMENT_STATE_SUCCEEDED;
  record.release = event.release();
  record.actor = event.actor();
  record.message = absl::StrCat("On ", host, " itself, by slipway-executor: ", event.detail());
  record.create_time = FromProto(event.time());
  record.rollouts.push_back({host, record.state, pb::SLOT_UNSPECIFIED, {}});
  SLIPWAY_ASSIGN_OR_RETURN(
      record.id, FreeId(database, record.app, DeploymentId(record.create_time, record.release)));
  SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, InsertDeployment(database, record));
  Statement ended(database, "UPDATE deployments SET end_time=create_time, serves=? WHERE number=?");
  return ended.BindAll(served && before.Integer(1) == 1, number).Run();
}

absl::StatusOr<CreatedDeployment> SqlStore::CreateDeployment(const NewDeployment& made,
                                                             const Request& request) {
  CreatedDeployment created;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    DeploymentRecord record = made.deployment;
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, record.app, request));
    if (seen) {
      created.id = *seen;
      return absl::OkStatus();
    }
    SLIPWAY_ASSIGN_OR_RETURN(record.id, FreeId(database, record.app, record.id));
    created.id = record.id;
    SLIPWAY_ASSIGN_OR_RETURN(const Lease lease, FindLease(database, record.app));
    created.queued = !lease.holder.empty();
    if (record.kind == pb::DEPLOYMENT_KIND_RECONCILE) {
      SLIPWAY_RETURN_IF_ERROR(CheckIdle(database, record.app, lease));
    }
    if (created.queued) {
      record.state = pb::DEPLOYMENT_STATE_QUEUED;
      SLIPWAY_ASSIGN_OR_RETURN(created.superseded, Supersede(database, now, record));
    } else {
      SLIPWAY_ASSIGN_OR_RETURN(record.epoch,
                               TakeLease(database, record.app, record.id, made.epoch_floor));
    }
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, InsertDeployment(database, record));
    pb::Event event;
    event.mutable_state()->set_state(record.state);
    if (created.queued) {
      event.mutable_state()->set_message(absl::StrCat("waits for ", lease.holder, " to end"));
    }
    SLIPWAY_RETURN_IF_ERROR(InsertEvents(database, number, now, {event}).status());
    SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, record.app, request, record.id));
    const std::string action = EnumWord(record.kind);
    return WriteHistory(
        database, now,
        {record.app, record.actor, action, DeploymentName(record.app, record.id),
         absl::StrCat(created.queued ? "queued" : "started", ", release ", record.release)});
  }));
  return created;
}

absl::StatusOr<uint64_t> SqlStore::RecordTransition(const Transition& transition) {
  uint64_t last = 0;
  const Time now = clock_.WallNow();
  const DeploymentHead& record = transition.deployment;
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    Statement find(database,
                   "SELECT number, last_transition, last_event FROM deployments WHERE app=? AND "
                   "id=?");
    find.BindAll(record.app, record.id);
    SLIPWAY_ASSIGN_OR_RETURN(const bool known, find.Step());
    if (known && !transition.id.empty() && find.Text(1) == transition.id) {
      last = find.Unsigned(2);
      return absl::OkStatus();
    }
    SLIPWAY_ASSIGN_OR_RETURN(const Lease lease, FindLease(database, record.app));
    if (lease.holder != record.id || lease.epoch != record.epoch) {
      return Error(absl::StatusCode::kAborted, "LEASE_LOST",
                   absl::StrCat(DeploymentName(record.app, record.id), " holds no lease"));
    }
    if (!known) return NotFound(DeploymentName(record.app, record.id));
    const int64_t number = find.Integer(0);
    SLIPWAY_RETURN_IF_ERROR(UpdateDeployment(database, number, transition));
    SLIPWAY_ASSIGN_OR_RETURN(last, InsertEvents(database, number, now, transition.events));
    if (transition.history) {
      SLIPWAY_RETURN_IF_ERROR(WriteHistory(database, now, *transition.history));
    }
    if (!IsTerminal(record.state)) return absl::OkStatus();
    Statement release(database, "UPDATE leases SET holder='' WHERE app=?");
    return release.Bind(record.app).Post();
  }));
  return last;
}

absl::StatusOr<bool> SqlStore::RequestCancel(const std::string& app, const std::string& id,
                                             const Request& request, const Actor& actor) {
  bool running = false;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, app, request));
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    Statement find(database, "SELECT state, cancel_requested FROM deployments WHERE number=?");
    find.Bind(number);
    SLIPWAY_RETURN_IF_ERROR(find.Run());
    const auto state = static_cast<pb::DeploymentState>(find.Integer(0));
    running = !IsTerminal(state);
    const bool again = find.Integer(1) != 0;
    if (!seen) SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, app, request, id));
    if (!running || again) return absl::OkStatus();
    Statement update(database, "UPDATE deployments SET cancel_requested=1 WHERE number=?");
    SLIPWAY_RETURN_IF_ERROR(update.Bind(number).Run());
    if (state == pb::DEPLOYMENT_STATE_QUEUED) {
      return EndQueued(database, now, number, pb::DEPLOYMENT_STATE_CANCELLED,
                       "cancelled before it began",
                       {app, actor, "cancel", DeploymentName(app, id), "cancelled, never began"});
    }
    return WriteHistory(database, now,
                        {app, actor, "cancel", DeploymentName(app, id), "requested"});
  }));
  return running;
}

absl::Status SqlStore::RequestResume(const std::string& app, const std::string& id,
                                     const Request& request, const Actor& actor) {
  const Time now = clock_.WallNow();
  return Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, app, request));
    if (seen) return absl::OkStatus();
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    Statement update(database,
                     "UPDATE deployments SET resume_requested=1 WHERE number=? AND state=? "
                     "RETURNING id");
    update.BindAll(number, static_cast<int>(pb::DEPLOYMENT_STATE_PAUSED));
    SLIPWAY_ASSIGN_OR_RETURN(const bool paused, update.Step());
    if (!paused) {
      return Error(absl::StatusCode::kFailedPrecondition, "NOT_PAUSED",
                   absl::StrCat(DeploymentName(app, id), " is not paused"),
                   absl::StrCat("`slipway status ", app, "` says what it does"),
                   DeploymentName(app, id));
    }
    SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, app, request, id));
    return WriteHistory(database, now,
                        {app, actor, "resume", DeploymentName(app, id), "requested"});
  });
}

absl::StatusOr<DeploymentRecord> SqlStore::GetDeployment(const std::string& app,
                                                         const std::string& id) {
  DeploymentRecord record;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    Statement find(database, absl::StrCat(kColumns, "WHERE number=?"));
    find.Bind(number);
    SLIPWAY_RETURN_IF_ERROR(find.Run());
    record = ReadDeployment(find);
    return ReadSteps(database, number, record);
  }));
  return record;
}

absl::StatusOr<DeploymentHead> SqlStore::GetDeploymentHead(const std::string& app,
                                                           const std::string& id) {
  DeploymentHead head;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t number, DeploymentNumber(database, app, id));
    Statement find(database, absl::StrCat(kColumns, "WHERE number=?"));
    find.Bind(number);
    SLIPWAY_RETURN_IF_ERROR(find.Run());
    head = ReadDeployment(find);
    return absl::OkStatus();
  }));
  return head;
}

absl::StatusOr<std::vector<DeploymentRecord>> SqlStore::ListDeployments(const std::string& app,
                                                                        const std::string& before,
                                                                        int limit) {
  std::vector<DeploymentRecord> records;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) {
    Statement list(database,
                   absl::StrCat(kColumns,
                                "WHERE app=?1 AND number < coalesce((SELECT number FROM "
                                "deployments WHERE app=?1 AND id=?2), 9223372036854775807) "
                                "ORDER BY number DESC LIMIT ?3"));
    list.BindAll(app, before, limit);
    return ReadList(list, records);
  }));
  return records;
}

absl::StatusOr<std::vector<DeploymentRecord>> SqlStore::ListServed(const std::string& app,
                                                                   int limit) {
  std::vector<DeploymentRecord> records;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) {
    Statement list(database,
                   absl::StrCat(kColumns, "WHERE app=? AND serves=1 ORDER BY number DESC LIMIT ?"));
    list.BindAll(app, limit);
    return ReadList(list, records);
  }));
  return records;
}

}  // namespace slipway::controller
