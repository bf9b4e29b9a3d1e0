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
#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway {

// Takes one chunk; false ends the transfer (the peer went away).
using ChunkSink = std::function<bool(const pb::UploadBlobsRequest&)>;

// Compresses and sends one blob. CANCELLED when the sink answers false; the transport knows why.
absl::Status SendFile(const std::filesystem::path& path, absl::string_view digest, uint64_t size,
                      const ChunkSink& sink);
absl::Status SendBytes(absl::string_view bytes, absl::string_view digest, const ChunkSink& sink);

// Puts chunks together into a BlobStore. One receiver per stream.
class BlobReceiver {
 public:
  explicit BlobReceiver(BlobStore& store);
  ~BlobReceiver();

  // INVALID_ARGUMENT for chunks out of order, broken compression, more bytes than announced (checked while unpacking, so a
  // bomb stops at its announced size) or a digest that does not match.
  absl::Status Take(const pb::UploadBlobsRequest& chunk);
  // After the last chunk: syncs the store. INVALID_ARGUMENT when a blob was left open.
  absl::StatusOr<pb::UploadBlobsResponse> Finish();

 private:
  struct Decompressor;

  BlobStore& store_;
  std::unique_ptr<Decompressor> decompressor_;
  std::unique_ptr<BlobStore::Writer> writer_;
  uint64_t announced_ = 0;
  uint64_t written_ = 0;
  bool open_ = false;
  pb::UploadBlobsResponse totals_;
};

// Which blobs of a manifest the store lacks, each once; just the manifest's own digest when that is missing.
absl::StatusOr<std::vector<std::string>> FindMissing(const BlobStore& store,
                                                     absl::string_view manifest_digest);

}  // namespace slipway
