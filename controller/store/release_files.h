// What releases are made of: a folder of this controller's, and, when several controllers share a PostgreSQL database, that too, with
// the folder as a cache. With the folder alone whatever speaks of the database does nothing.
//
// A blob stands in the database in parts of 1 MiB, written in transactions of a few; it counts when its last part is there, so that
// one that was cut short is as good as none and is written again. Safe from several threads.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/blob_store.h"
#include "common/clock.h"
#include "controller/store/sql_store.h"

namespace slipway::controller {

class ReleaseFiles {
 public:
  using Digests = std::set<std::string>;

  explicit ReleaseFiles(BlobStore& folder) : folder_(folder), clock_(SystemClock()) {}
  // The store is on PostgreSQL.
  ReleaseFiles(BlobStore& folder, SqlStore& database, Clock& clock)
      : folder_(folder), database_(&database), clock_(clock) {}

  BlobStore& folder() { return folder_; }

  // Brings into the folder what it lacks of these and the database has. What neither has stays missing.
  absl::Status Fetch(const Digests& digests);
  // The same for a manifest and all that it names.
  absl::Status FetchTree(const std::string& manifest_digest);
  // Puts into the database what it lacks of a manifest and all that it names; the folder has it all. Only the leader's.
  absl::Status PublishTree(const std::string& manifest_digest);
  // Puts into the database what it lacks of these.
  absl::Status Publish(const Digests& digests);

  // Digests that the folder or the database has from before this time.
  absl::StatusOr<Digests> WrittenBefore(std::chrono::system_clock::time_point time);
  // From both; answers how many bytes that freed in the folder. From the database only as the leader: as a write of the store, so that
  // one who was the leader takes nothing away from the next.
  absl::StatusOr<uint64_t> Remove(const Digests& digests);

 private:
  class Upload;
  // Those that the database has whole, with their sizes.
  absl::StatusOr<std::vector<std::pair<std::string, uint64_t>>> InDatabase(const Digests& digests);
  absl::Status FetchLarge(const std::string& digest, uint64_t size);
  absl::Status FetchSmall(const std::vector<std::string>& digests);

  BlobStore& folder_;
  SqlStore* const database_ = nullptr;
  Clock& clock_;
};

}  // namespace slipway::controller
