// A folder of files named by the SHA-256 of their content. Both daemons keep one: the controller what clients uploaded,
// the executor what its releases are made of.
//
// FOLDER/ab/cdef...   a blob, complete and synced, read-only; never changed in place
// FOLDER/tmp/         uploads under way; emptied by Open()
//
// Safe from several threads; one process per folder. After a crash a blob is there whole or not at all.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/digest.h"
#include "common/file.h"

namespace slipway {

class BlobStore {
 public:
  // The list of the most files that a release may have, with paths of 100 bytes.
  static constexpr uint64_t kMostReadAtOnce = 32 << 20;

  // Creates the folder when it is absent.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(std::filesystem::path folder);

  // A blob being written. Destroyed without Commit() it leaves nothing behind.
  class Writer {
   public:
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    absl::Status Append(absl::string_view bytes);
    // INVALID_ARGUMENT (reason DIGEST_MISMATCH) when the content is not what its name says.
    absl::Status Commit();

   private:
    friend class BlobStore;
    Writer(BlobStore& store, std::string digest) : store_(store), digest_(std::move(digest)) {}

    BlobStore& store_;
    std::string digest_;
    std::string temporary_;
    UniqueFd fd_;
    Sha256 hash_;
  };

  bool Has(absl::string_view digest) const;
  // Where the blob's bytes are; the file exists when Has() says so.
  std::filesystem::path PathOf(absl::string_view digest) const;
  // INVALID_ARGUMENT (reason FILE_LIST_TOO_LARGE) for a larger one than kMostReadAtOnce: what is read whole is a release's file list.
  absl::StatusOr<std::string> Read(absl::string_view digest) const;
  absl::StatusOr<std::unique_ptr<Writer>> Create(absl::string_view digest);
  // Writes blobs back to the disk in one go: renames before this call survive a power cut after it.
  absl::Status Sync();

  // Digests of the blobs that were written before this time.
  absl::StatusOr<std::set<std::string>> WrittenBefore(
      std::chrono::system_clock::time_point time) const;
  // Removes these; answers how many bytes that freed. One that is not there is fine.
  absl::StatusOr<uint64_t> Remove(const std::set<std::string>& digests);

 private:
  explicit BlobStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path folder_;
};

}  // namespace slipway
