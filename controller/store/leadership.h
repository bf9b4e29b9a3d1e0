// Who leads, of several controllers that share one PostgreSQL database: a row with its holder, an expiry by the database's own clock,
// and an epoch that grows with each holder.
//
// The epoch is what makes it safe: SqlStore::Lead() is told it, and a write of an earlier one is refused by the database, however
// late it comes. The expiry only says when the next one may take over. Who could not renew within the time that it asked for (by a
// monotonic clock, from before its last successful call) must take itself for lost.
//
// Each change is a transaction on a connection of its own, which heals by itself; a renewal waits for the write that is under way.
// UNAVAILABLE (reason STORE_UNAVAILABLE) when the database does not answer: it may have been done. Safe from several threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/mutex.h"
#include "controller/store/postgres_database.h"

namespace slipway::controller {

class Leadership {
 public:
  struct Leader {
    // Empty when nobody has taken it, or who had it has released it.
    std::string holder;
    // Where the holder can be reached.
    std::string address;
    uint64_t epoch = 0;
    bool expired = false;
  };

  static absl::StatusOr<std::unique_ptr<Leadership>> Open(PostgresOptions options);

  // Answers the new epoch. FAILED_PRECONDITION (reason ANOTHER_LEADS, subject its address) while another's has not expired; its own
  // counts as another's, too.
  absl::StatusOr<uint64_t> Take(const std::string& holder, const std::string& address,
                                std::chrono::milliseconds time);
  // ABORTED (reason NOT_LEADER) when it is another's by now, or released.
  absl::Status Renew(uint64_t epoch, std::chrono::milliseconds time);
  // Anybody may take it at once, and the store's writes of this epoch are refused. The same error.
  absl::Status Release(uint64_t epoch);
  absl::StatusOr<Leader> Current();

 private:
  explicit Leadership(std::unique_ptr<PostgresDatabase> database)
      : database_(std::move(database)) {}
  // The statement changes the row and answers its epoch, or no row.
  absl::StatusOr<uint64_t> Change(Statement& statement) SLIPWAY_REQUIRES(mutex_);
  absl::StatusOr<Leader> Read() SLIPWAY_REQUIRES(mutex_);

  Mutex mutex_;
  std::unique_ptr<PostgresDatabase> database_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::controller
