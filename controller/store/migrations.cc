#include "controller/store/migrations.h"

#include <array>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway::controller {
namespace {

// In SQLite's words; postgres_schema.h says how they are put for PostgreSQL. Times are microseconds since the epoch; blobs named
// *_proto are serialised messages. Never edit a step that was released: add the next one.
constexpr std::array kSteps = {
    R"sql(
CREATE TABLE applications (
  app TEXT PRIMARY KEY, spec_revision INTEGER NOT NULL, environment_revision INTEGER NOT NULL,
  create_time INTEGER NOT NULL, update_time INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE specs (
  app TEXT NOT NULL REFERENCES applications(app), revision INTEGER NOT NULL,
  spec_proto BLOB NOT NULL, PRIMARY KEY (app, revision)) WITHOUT ROWID;
CREATE TABLE environments (
  app TEXT NOT NULL REFERENCES applications(app), revision INTEGER NOT NULL,
  sealed BLOB NOT NULL, create_time INTEGER NOT NULL, PRIMARY KEY (app, revision));
CREATE TABLE releases (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  app TEXT NOT NULL REFERENCES applications(app), id TEXT NOT NULL,
  manifest_digest BLOB NOT NULL, spec_revision INTEGER NOT NULL, environment_revision INTEGER NOT NULL,
  commit_name TEXT NOT NULL, commit_time INTEGER, description TEXT NOT NULL,
  create_time INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (app, id));
CREATE TABLE deployments (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  app TEXT NOT NULL REFERENCES applications(app), id TEXT NOT NULL,
  kind INTEGER NOT NULL, state INTEGER NOT NULL, reason INTEGER NOT NULL, message TEXT NOT NULL,
  release TEXT NOT NULL, previous_release TEXT NOT NULL, commit_name TEXT NOT NULL,
  actor TEXT NOT NULL, description TEXT NOT NULL, epoch INTEGER NOT NULL,
  plan_version INTEGER NOT NULL, create_time INTEGER NOT NULL, end_time INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0, last_event INTEGER NOT NULL DEFAULT 0,
  serves INTEGER NOT NULL DEFAULT 0, UNIQUE (app, id),
  FOREIGN KEY (app, release) REFERENCES releases(app, id));
CREATE INDEX deployments_of_app ON deployments(app, number);
CREATE INDEX deployments_served ON deployments(app, number) WHERE serves = 1;
CREATE TABLE rollouts (
  deployment INTEGER NOT NULL REFERENCES deployments(number), position INTEGER NOT NULL,
  host TEXT NOT NULL, state INTEGER NOT NULL, slot INTEGER NOT NULL,
  PRIMARY KEY (deployment, position)) WITHOUT ROWID;
CREATE TABLE steps (
  deployment INTEGER NOT NULL, host INTEGER NOT NULL, position INTEGER NOT NULL,
  name TEXT NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, reason INTEGER NOT NULL,
  summary TEXT NOT NULL, start_time INTEGER, duration INTEGER NOT NULL, evidence_proto BLOB NOT NULL,
  PRIMARY KEY (deployment, host, position),
  FOREIGN KEY (deployment, host) REFERENCES rollouts(deployment, position));
CREATE TABLE events (
  deployment INTEGER NOT NULL REFERENCES deployments(number), sequence INTEGER NOT NULL,
  event_proto BLOB NOT NULL, PRIMARY KEY (deployment, sequence)) WITHOUT ROWID;
CREATE TABLE leases (
  app TEXT PRIMARY KEY REFERENCES applications(app), holder TEXT NOT NULL,
  epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE requests (
  app TEXT NOT NULL, id TEXT NOT NULL, parameters_hash BLOB NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY (app, id)) WITHOUT ROWID;
CREATE TABLE local_events (host TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE history (
  sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, app TEXT NOT NULL, actor TEXT NOT NULL,
  action TEXT NOT NULL, subject TEXT NOT NULL, outcome TEXT NOT NULL, hash BLOB NOT NULL);
CREATE INDEX history_of_app ON history(app, sequence);
CREATE TABLE history_head (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL);
INSERT INTO history_head VALUES (1, 0, x'');
CREATE TRIGGER history_stays BEFORE DELETE ON history BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER history_holds BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'append only'); END;
)sql",
    // Space-separated names.
    R"sql(
ALTER TABLE deployments ADD COLUMN update_services TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
ALTER TABLE deployments ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN origin TEXT NOT NULL DEFAULT '';
CREATE TABLE records (
  kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, expire_time INTEGER,
  PRIMARY KEY (kind, id)) WITHOUT ROWID;
)sql",
    R"sql(
ALTER TABLE deployments ADD COLUMN hold_before_flip INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN released INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN tolerated_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN resume_requested INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deployments_waiting ON deployments(app, number) WHERE state = 11;
)sql",
    // left_out: REASON:HOST, separated by spaces.
    R"sql(
ALTER TABLE deployments ADD COLUMN canaries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN left_out TEXT NOT NULL DEFAULT '';
ALTER TABLE deployments ADD COLUMN cancel_when_abandoned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN last_transition TEXT NOT NULL DEFAULT '';
)sql",
    // 0 for requests of before: they get the time at which they are first looked at.
    R"sql(
ALTER TABLE requests ADD COLUMN create_time INTEGER NOT NULL DEFAULT 0;
CREATE INDEX requests_by_time ON requests(create_time);
CREATE INDEX deployments_by_end ON deployments(end_time, number);
)sql",
};

absl::Status CheckNotTooNew(int64_t version) {
  if (version <= static_cast<int64_t>(kSteps.size())) return absl::OkStatus();
  return Error(
      absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
      absl::StrCat("the database has schema ", version, ", this program knows ", kSteps.size()),
      "start the newer slipway-controller that wrote it");
}

}  // namespace

absl::Status Migrate(Database& database) {
  while (true) {
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t seen, database.SchemaVersion());
    SLIPWAY_RETURN_IF_ERROR(CheckNotTooNew(seen));
    if (seen == static_cast<int64_t>(kSteps.size())) return absl::OkStatus();
    WriteTransaction transaction(database);
    SLIPWAY_RETURN_IF_ERROR(transaction.Begin());
    SLIPWAY_RETURN_IF_ERROR(database.LockSchema());
    // Another process may have taken the step meanwhile.
    SLIPWAY_ASSIGN_OR_RETURN(const int64_t version, database.SchemaVersion());
    if (version != seen) continue;
    SLIPWAY_RETURN_IF_ERROR(database.Define(kSteps.at(static_cast<size_t>(version))));
    SLIPWAY_RETURN_IF_ERROR(database.SetSchemaVersion(version + 1));
    SLIPWAY_RETURN_IF_ERROR(transaction.Commit());
  }
}

absl::Status MigrateIfEmpty(Database& database) {
  SLIPWAY_ASSIGN_OR_RETURN(const int64_t version, database.SchemaVersion());
  return version == 0 ? Migrate(database) : CheckNotTooNew(version);
}

absl::Status CheckMigrated(Database& database) {
  SLIPWAY_ASSIGN_OR_RETURN(const int64_t version, database.SchemaVersion());
  if (version == static_cast<int64_t>(kSteps.size())) return absl::OkStatus();
  return Error(
      absl::StatusCode::kFailedPrecondition, "SCHEMA_DIFFERS",
      absl::StrCat("the database has schema ", version, ", this program's is ", kSteps.size()),
      "use the slipway-controller that runs, or restart it with this edition first");
}

}  // namespace slipway::controller
