// The Store on an SQL database (database.h). Two connections, one that writes and one that reads, each behind a lock of its own,
// so that a watcher's read never waits for a commit's disk write.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/store/database.h"
#include "controller/store/postgres_database.h"
#include "controller/store/store.h"

namespace slipway::controller {

class SqlStore : public Store {
 public:
  // Told how long each commit took.
  using CommitObserver = std::function<void(std::chrono::nanoseconds)>;

  // A file of SQLite's, made when it is absent. One process per file; the server's lock file sees to that.
  static absl::StatusOr<std::unique_ptr<SqlStore>> Open(const std::string& path, Clock& clock,
                                                        CommitObserver observer = nullptr);

  // A database of PostgreSQL's; the tables are made in an empty one. FAILED_PRECONDITION (reason SCHEMA_TOO_NEW) when a newer program
  // has written it. Every write is refused with ABORTED (reason NOT_LEADER) before Lead(), and when another one leads by then; in
  // doubt about a commit UNAVAILABLE (reason COMMIT_IN_DOUBT). Neither a lost connection nor a restarted server needs a new store.
  static absl::StatusOr<std::unique_ptr<SqlStore>> Open(const PostgresOptions& options,
                                                        Clock& clock,
                                                        CommitObserver observer = nullptr);

  // The same for a tool that writes a row of its own beside whoever leads: its writes wait for theirs, and are refused by nobody.
  static absl::StatusOr<std::unique_ptr<SqlStore>> OpenBeside(const PostgresOptions& options,
                                                              Clock& clock);

  // From now on writes are this leader's, by its epoch (leadership.h). Brings the database to this program's schema, which until
  // then may be an older one: reads are refused then where they need more. On SQLite there is nothing to do.
  absl::Status Lead(uint64_t epoch);

  // A consistent copy of SQLite's file in a new one, also while another process uses the database; its history is verified. FAILED_PRECONDITION
  // (reason SCHEMA_DIFFERS) when the database is not of this program's schema; DATA_LOSS when the history does not hold.
  static absl::Status Copy(const std::string& from, const std::string& to, Clock& clock);

  absl::StatusOr<Applied> ApplyApplication(const pb::ApplicationSpec& spec, const Request& request,
                                           const Actor& actor) override;
  absl::StatusOr<ApplicationRecord> GetApplication(const std::string& app) override;
  absl::StatusOr<pb::ApplicationSpec> GetSpec(const std::string& app, uint64_t revision) override;
  absl::StatusOr<std::vector<ApplicationRecord>> ListApplications(const std::string& after,
                                                                  int limit) override;
  absl::StatusOr<uint64_t> PutEnvironment(const std::string& app, uint64_t expected,
                                          const std::string& sealed, const Request& request,
                                          const Actor& actor) override;
  absl::StatusOr<EnvironmentRecord> GetEnvironment(const std::string& app,
                                                   uint64_t revision) override;
  absl::StatusOr<ReleaseRecord> CreateRelease(const ReleaseRecord& release, const Request& request,
                                              const Actor& actor) override;
  absl::StatusOr<ReleaseRecord> GetRelease(const std::string& app, const std::string& id) override;
  absl::StatusOr<std::vector<ReleaseRecord>> ListReleases(const std::string& app,
                                                          const std::string& before,
                                                          int limit) override;
  absl::StatusOr<std::optional<std::string>> FindRequest(const std::string& app,
                                                         const Request& request) override;
  absl::Status RememberRequest(const std::string& app, const Request& request,
                               const std::string& answer) override;
  absl::StatusOr<CreatedDeployment> CreateDeployment(const NewDeployment& made,
                                                     const Request& request) override;
  absl::StatusOr<std::string> StartQueued(const std::string& app, uint64_t epoch_floor) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListQueued() override;
  absl::StatusOr<uint64_t> RecordTransition(const Transition& transition) override;
  absl::StatusOr<uint64_t> AppendEvents(const std::string& app, const std::string& id,
                                        const std::vector<pb::Event>& events) override;
  absl::StatusOr<bool> RequestCancel(const std::string& app, const std::string& id,
                                     const Request& request, const Actor& actor) override;
  absl::Status RequestResume(const std::string& app, const std::string& id, const Request& request,
                             const Actor& actor) override;
  absl::StatusOr<DeploymentRecord> GetDeployment(const std::string& app,
                                                 const std::string& id) override;
  absl::StatusOr<DeploymentHead> GetDeploymentHead(const std::string& app,
                                                   const std::string& id) override;
  absl::StatusOr<std::vector<DeploymentRecord>> ListDeployments(const std::string& app,
                                                                const std::string& before,
                                                                int limit) override;
  absl::StatusOr<std::vector<DeploymentRecord>> ListServed(const std::string& app,
                                                           int limit) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListRunning() override;
  absl::StatusOr<std::string> LeaseHolder(const std::string& app) override;
  absl::StatusOr<std::vector<pb::Event>> ListEvents(const std::string& app, const std::string& id,
                                                    uint64_t after, int limit) override;
  absl::StatusOr<uint64_t> RecordLocalEvents(const std::string& host,
                                             const std::vector<xpb::LocalEvent>& events) override;
  absl::Status CreateRecord(const RecordDraft& record,
                            const std::optional<HistoryDraft>& history) override;
  absl::Status PutRecord(const RecordDraft& record,
                         const std::optional<HistoryDraft>& history) override;
  absl::StatusOr<std::string> GetRecord(const std::string& kind, const std::string& id) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListRecords(
      const std::string& kind, const std::string& after, int limit) override;
  absl::StatusOr<std::string> TakeRecord(const std::string& kind, const std::string& id,
                                         const std::optional<HistoryDraft>& history) override;
  absl::Status RemoveExpiredRecords() override;
  absl::Status RemoveRequests(Time before) override;
  absl::StatusOr<bool> RemoveEvents(Time before) override;
  absl::Status AppendHistory(const HistoryDraft& draft) override;
  absl::StatusOr<std::vector<HistoryRecord>> ListHistory(const std::string& app, uint64_t before,
                                                         int limit) override;
  absl::Status VerifyHistory() override;

  // For what stands beside the Store on the same database, such as release_files.h. The body runs in a transaction, which is committed
  // when the body answers OK; or on one snapshot, and changes nothing. Neither may wait for anything else.
  absl::Status Write(const std::function<absl::Status(Database&)>& body);
  absl::Status Read(const std::function<absl::Status(Database&)>& body);

  // For tests that let the disk run full: no more than this many pages. 0 lifts the limit.
  absl::Status LimitPagesForTesting(int pages);

 private:
  static absl::StatusOr<std::unique_ptr<SqlStore>> OpenBehind(const PostgresOptions& options,
                                                              PostgresDatabase::Fence fence,
                                                              Clock& clock,
                                                              CommitObserver observer);
  SqlStore(std::unique_ptr<Database> writer, std::unique_ptr<Database> reader, Clock& clock,
           CommitObserver observer);

  Clock& clock_;
  CommitObserver observer_;
  Mutex write_mutex_;
  Mutex read_mutex_;
  std::unique_ptr<Database> writer_ SLIPWAY_GUARDED_BY(write_mutex_);
  std::unique_ptr<Database> reader_ SLIPWAY_GUARDED_BY(read_mutex_);
};

}  // namespace slipway::controller
