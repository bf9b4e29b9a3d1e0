// Blobs on the wire: cut into chunks of at most 256 KiB of one zstd frame per blob, and put together again. Knows nothing of
// gRPC; the same message type serves both hops.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/blob_store.h"
#include "common/manifest.h"
#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway {

// Takes one chunk; false ends the transfer (the peer went away).
using ChunkSink = std::function<bool(const pb::UploadBlobsRequest&)>;

// Compresses and sends one blob. CANCELLED when the sink answers false; the transport knows why.
absl::Status SendFile(const std::filesystem::path& path, absl::string_view digest, uint64_t size,
                      const ChunkSink& sink);
absl::Status SendBytes(absl::string_view bytes, absl::string_view digest, const ChunkSink& sink);

// What one upload may bring, unpacked.
struct UploadLimits {
  uint64_t file_bytes = kMaxReleaseBytes;
  uint64_t upload_bytes = kMaxReleaseBytes;
  // Asked before the first byte of each blob that the store lacks, with its announced size; null for always. A refusal is the
  // upload's status.
  std::function<absl::Status(uint64_t bytes)> reserve;
  // Told what was reserved and not stored. May be null.
  std::function<void(uint64_t bytes)> give_back;
};

// Puts chunks together into a BlobStore. One receiver per stream. Its memory is bounded, whatever arrives: a window of 8 MiB at most.
class BlobReceiver {
 public:
  explicit BlobReceiver(BlobStore& store, UploadLimits limits = {});
  ~BlobReceiver();
  BlobReceiver(const BlobReceiver&) = delete;
  BlobReceiver& operator=(const BlobReceiver&) = delete;

  // INVALID_ARGUMENT (reason BAD_UPLOAD) for chunks out of order, broken compression, more bytes than announced (checked while
  // unpacking), compression that multiplies what arrives a thousandfold, or a digest that does not match; RESOURCE_EXHAUSTED (reason
  // UPLOAD_TOO_LARGE) above the limits, by what is announced.
  absl::Status Take(const pb::UploadBlobsRequest& chunk);
  // After the last chunk: syncs the store. INVALID_ARGUMENT when a blob was left open.
  absl::StatusOr<pb::UploadBlobsResponse> Finish();

 private:
  struct Decompressor;

  absl::Status Open(const pb::UploadBlobsRequest& chunk);
  absl::Status Unpack(absl::string_view data);
  absl::Status Store(absl::string_view bytes);
  absl::Status Close();

  BlobStore& store_;
  const UploadLimits limits_;
  std::unique_ptr<Decompressor> decompressor_;
  std::unique_ptr<BlobStore::Writer> writer_;
  uint64_t announced_ = 0;
  uint64_t received_ = 0;
  uint64_t written_ = 0;
  bool open_ = false;
  // The frame has ended, and what follows it is refused.
  bool frame_ended_ = false;
  // For the blob that is open.
  uint64_t reserved_ = 0;
  // Of all blobs.
  uint64_t total_announced_ = 0;
  pb::UploadBlobsResponse totals_;
};

// Which blobs of a manifest the store lacks, each once; just the manifest's own digest when that is missing.
absl::StatusOr<std::vector<std::string>> FindMissing(const BlobStore& store,
                                                     absl::string_view manifest_digest);

}  // namespace slipway
