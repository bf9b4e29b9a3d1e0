// SqlStore: applications, environments and releases.
#include "absl/strings/str_cat.h"

#include "common/names.h"
#include "common/status.h"
#include "controller/store/sql_rows.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {
namespace {

constexpr absl::string_view kApplicationColumns =
    "SELECT a.app, s.spec_proto, a.spec_revision, a.environment_revision, a.create_time, "
    "a.update_time FROM applications a JOIN specs s ON s.app = a.app AND s.revision = "
    "a.spec_revision ";

constexpr absl::string_view kReleaseColumns =
    "SELECT app, id, manifest_digest, spec_revision, environment_revision, commit_name, "
    "commit_time, description, create_time, files, bytes FROM releases ";

absl::StatusOr<ApplicationRecord> ReadApplication(const Statement& row) {
  ApplicationRecord record;
  record.app = row.Text(0);
  if (!record.spec.ParseFromString(row.Text(1))) {
    return Error(absl::StatusCode::kDataLoss, "STORE_DAMAGED",
                 absl::StrCat("the stored spec of ", record.app, " cannot be read"));
  }
  record.spec_revision = row.Unsigned(2);
  record.environment_revision = row.Unsigned(3);
  record.create_time = FromMicros(row.Integer(4));
  record.update_time = FromMicros(row.Integer(5));
  return record;
}

ReleaseRecord ReadRelease(const Statement& row) {
  ReleaseRecord record;
  record.app = row.Text(0);
  record.id = row.Text(1);
  record.manifest_digest = row.Text(2);
  record.spec_revision = row.Unsigned(3);
  record.environment_revision = row.Unsigned(4);
  record.commit = row.Text(5);
  record.commit_time = OptionalTime(row, 6);
  record.description = row.Text(7);
  record.create_time = FromMicros(row.Integer(8));
  record.files = static_cast<uint32_t>(row.Integer(9));
  record.bytes = row.Unsigned(10);
  return record;
}

absl::StatusOr<ApplicationRecord> FindApplication(Database& database, const std::string& app) {
  Statement find(database, absl::StrCat(kApplicationColumns, "WHERE a.app=?"));
  find.Bind(app);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  if (!found) return NotFound(ApplicationName(app));
  return ReadApplication(find);
}

absl::StatusOr<ReleaseRecord> FindRelease(Database& database, const std::string& app,
                                          const std::string& id) {
  Statement find(database, absl::StrCat(kReleaseColumns, "WHERE app=? AND id=?"));
  find.BindAll(app, id);
  SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
  if (!found) return NotFound(ReleaseName(app, id));
  return ReadRelease(find);
}

// Map fields have no order of their own; revisions are compared by bytes.
std::string Canonical(const pb::ApplicationSpec& spec) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    spec.SerializeToCodedStream(&coded);
  }
  return bytes;
}

absl::Status InsertSpec(Database& database, const std::string& app, uint64_t revision,
                        const std::string& bytes) {
  Statement insert(database, "INSERT INTO specs VALUES (?, ?, ?)");
  insert.BindAll(app, revision).BindBlob(bytes);
  return insert.Run();
}

}  // namespace

absl::StatusOr<Applied> SqlStore::ApplyApplication(const pb::ApplicationSpec& spec,
                                                   const Request& request, const Actor& actor) {
  Applied applied;
  const std::string& app = spec.app();
  const std::string bytes = Canonical(spec);
  const Time now = clock_.WallNow();
  const absl::Status status = Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, app, request));
    absl::StatusOr<ApplicationRecord> old = FindApplication(database, app);
    if (!old.ok() && !absl::IsNotFound(old.status())) return old.status();
    applied.changed = !seen && (!old.ok() || Canonical(old->spec) != bytes);
    if (applied.changed) {
      const uint64_t revision = old.ok() ? old->spec_revision + 1 : 1;
      Statement upsert(database,
                       "INSERT INTO applications VALUES (?, ?, 0, ?, ?) ON CONFLICT (app) DO "
                       "UPDATE SET spec_revision=excluded.spec_revision, "
                       "update_time=excluded.update_time");
      SLIPWAY_RETURN_IF_ERROR(upsert.BindAll(app, revision, ToMicros(now), ToMicros(now)).Run());
      SLIPWAY_RETURN_IF_ERROR(InsertSpec(database, app, revision, bytes));
      SLIPWAY_RETURN_IF_ERROR(WriteHistory(
          database, now,
          {app, actor, "apply", ApplicationName(app), absl::StrCat("spec revision ", revision)}));
    }
    if (!seen) SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, app, request, ApplicationName(app)));
    SLIPWAY_ASSIGN_OR_RETURN(applied.application, FindApplication(database, app));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return applied;
}

absl::StatusOr<ApplicationRecord> SqlStore::GetApplication(const std::string& app) {
  ApplicationRecord record;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(record, FindApplication(database, app));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<pb::ApplicationSpec> SqlStore::GetSpec(const std::string& app, uint64_t revision) {
  pb::ApplicationSpec spec;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement find(database, "SELECT spec_proto FROM specs WHERE app=? AND revision=?");
    find.BindAll(app, revision);
    SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
    if (!found) return NotFound(absl::StrCat(ApplicationName(app), " spec revision ", revision));
    if (spec.ParseFromString(find.Text(0))) return absl::OkStatus();
    return Error(absl::StatusCode::kDataLoss, "STORE_DAMAGED", "a stored spec cannot be read");
  }));
  return spec;
}

absl::StatusOr<std::vector<ApplicationRecord>> SqlStore::ListApplications(const std::string& after,
                                                                          int limit) {
  std::vector<ApplicationRecord> records;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement list(database,
                   absl::StrCat(kApplicationColumns, "WHERE a.app > ? ORDER BY a.app LIMIT ?"));
    list.BindAll(after, limit);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      SLIPWAY_ASSIGN_OR_RETURN(records.emplace_back(), ReadApplication(list));
    }
  }));
  return records;
}

absl::StatusOr<uint64_t> SqlStore::PutEnvironment(const std::string& app, uint64_t expected,
                                                  const std::string& sealed, const Request& request,
                                                  const Actor& actor) {
  const Time now = clock_.WallNow();
  const uint64_t revision = expected + 1;
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord old, FindApplication(database, app));
    if (old.environment_revision != expected) {
      return Error(absl::StatusCode::kAborted, "ENVIRONMENT_CHANGED",
                   absl::StrCat("the environment of ", app, " was changed meanwhile"), "try again");
    }
    Statement insert(database, "INSERT INTO environments VALUES (?, ?, ?, ?)");
    insert.BindAll(app, revision).BindBlob(sealed).Bind(ToMicros(now));
    SLIPWAY_RETURN_IF_ERROR(insert.Run());
    Statement update(database,
                     "UPDATE applications SET environment_revision=?, update_time=? WHERE app=?");
    SLIPWAY_RETURN_IF_ERROR(update.BindAll(revision, ToMicros(now), app).Run());
    SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, app, request, absl::StrCat(revision)));
    return WriteHistory(database, now,
                        {app, actor, "env set", ApplicationName(app),
                         absl::StrCat("environment revision ", revision)});
  }));
  return revision;
}

absl::StatusOr<EnvironmentRecord> SqlStore::GetEnvironment(const std::string& app,
                                                           uint64_t revision) {
  EnvironmentRecord record;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement find(database,
                   "SELECT sealed, create_time FROM environments WHERE app=? AND revision=?");
    find.BindAll(app, revision);
    SLIPWAY_ASSIGN_OR_RETURN(const bool found, find.Step());
    if (!found) {
      return NotFound(absl::StrCat(ApplicationName(app), " environment revision ", revision));
    }
    record = {revision, find.Text(0), FromMicros(find.Integer(1))};
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<ReleaseRecord> SqlStore::CreateRelease(const ReleaseRecord& release,
                                                      const Request& request, const Actor& actor) {
  ReleaseRecord stored;
  const Time now = clock_.WallNow();
  SLIPWAY_RETURN_IF_ERROR(Write([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(const auto seen, SeenRequest(database, release.app, request));
    const std::string& id = seen ? *seen : release.id;
    absl::StatusOr<ReleaseRecord> found = FindRelease(database, release.app, id);
    if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
    if (!found.ok()) {
      Statement insert(database,
                       "INSERT INTO releases (app, id, manifest_digest, spec_revision, "
                       "environment_revision, commit_name, description, create_time, files, bytes, "
                       "commit_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
      insert.BindAll(release.app, id)
          .BindBlob(release.manifest_digest)
          .BindAll(release.spec_revision, release.environment_revision, release.commit,
                   release.description, ToMicros(now), release.files, release.bytes);
      BindOptionalTime(insert, release.commit_time);
      SLIPWAY_RETURN_IF_ERROR(insert.Run());
      SLIPWAY_RETURN_IF_ERROR(WriteHistory(
          database, now,
          {release.app, actor, "release", ReleaseName(release.app, id),
           release.commit.empty() ? "created" : absl::StrCat("commit ", release.commit)}));
    }
    if (!seen) SLIPWAY_RETURN_IF_ERROR(SaveRequest(database, release.app, request, id));
    SLIPWAY_ASSIGN_OR_RETURN(stored, FindRelease(database, release.app, id));
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<ReleaseRecord> SqlStore::GetRelease(const std::string& app, const std::string& id) {
  ReleaseRecord record;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    SLIPWAY_ASSIGN_OR_RETURN(record, FindRelease(database, app, id));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<std::vector<ReleaseRecord>> SqlStore::ListReleases(const std::string& app,
                                                                  const std::string& before,
                                                                  int limit) {
  std::vector<ReleaseRecord> records;
  SLIPWAY_RETURN_IF_ERROR(Read([&](Database& database) -> absl::Status {
    Statement list(database,
                   absl::StrCat(kReleaseColumns,
                                "WHERE app=?1 AND number < coalesce((SELECT number FROM releases "
                                "WHERE app=?1 AND id=?2), 9223372036854775807) "
                                "ORDER BY number DESC LIMIT ?3"));
    list.BindAll(app, before, limit);
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const bool row, list.Step());
      if (!row) return absl::OkStatus();
      records.push_back(ReadRelease(list));
    }
  }));
  return records;
}

}  // namespace slipway::controller
