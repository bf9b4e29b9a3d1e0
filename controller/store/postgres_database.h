// PostgreSQL behind the Database seam. It heals by itself: a connection that is lost fails the transaction that it was in, and the
// next one makes a new one, at once where nothing of it was asked yet.
//
// A fenced one is for the store: each of its writes begins by locking the row `leadership`, which makes writers wait for one another
// as in SQLite, and is refused unless the row has the epoch that Lead() has said. When the connection breaks while a commit is
// under way, the row's counter tells whether it was carried out: it is asked for `settle_timeout`, and then the answer is UNAVAILABLE
// (reason COMMIT_IN_DOUBT). The transaction's own number would not do: a server that crashed may give it to another one. So of each
// epoch there is one fenced connection that writes at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/store/database.h"
#include "controller/store/postgres.h"

namespace slipway::controller {

class PostgresDatabase final : public Database {
 public:
  enum class Fence {
    kLeadership,
    // Writes wait for others, but are for nobody's epoch: a tool's own, beside whoever leads. In doubt about a commit UNAVAILABLE.
    kTurn,
    kNone,
  };

  static absl::StatusOr<std::unique_ptr<PostgresDatabase>> Open(const PostgresOptions& options,
                                                                Fence fence);

  // Neither side gives a statement of the present transaction up before this.
  absl::Status AllowForTransaction(std::chrono::milliseconds time);

  absl::Status Execute(const std::string& sql) override;
  absl::StatusOr<std::unique_ptr<Rows>> Query(absl::string_view sql, const Values& values) override;
  absl::Status Post(absl::string_view sql, const Values& values) override;
  absl::StatusOr<std::unique_ptr<Rows>> Scan(absl::string_view sql) override;
  absl::Status BeginWrite() override;
  absl::Status BeginRead() override;
  absl::Status Commit() override;
  void Rollback() override;
  void Lead(uint64_t epoch) override { epoch_ = epoch; }
  absl::Status NotifyEvents(const std::string& app, const std::string& id) override;
  absl::StatusOr<int64_t> SchemaVersion() override;
  absl::Status LockSchema() override;
  absl::Status Define(const std::string& step) override;
  absl::Status SetSchemaVersion(int64_t version) override;
  absl::StatusOr<std::vector<Column>> Columns(const std::string& table) override;
  absl::Status ContinueNumbers(const std::string& table, const std::string& column) override;

 private:
  PostgresDatabase(const PostgresOptions& options, Fence fence)
      : options_(options), fence_(fence) {}

  class Pieces;
  absl::Status Connect();
  // Never another connection in the middle of a transaction.
  absl::Status Usable();
  absl::Status TakeFence();
  // Whether the write that the connection was lost in was committed, told by a new connection.
  absl::Status SettleDoubt(const absl::Status& problem);
  absl::StatusOr<bool> WasCommitted();

  const PostgresOptions options_;
  const Fence fence_;
  std::unique_ptr<PostgresConnection> connection_;
  // Cursors are named after the texts that they are for.
  std::vector<std::string> scans_;
  uint64_t epoch_ = 0;
  // The number of the write under way; 0 when none is.
  int64_t write_ = 0;
  bool in_transaction_ = false;
  // Nothing was asked since the transaction began.
  bool fresh_read_ = false;
};

}  // namespace slipway::controller
