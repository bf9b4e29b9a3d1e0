#include "common/blob_transfer.h"

#include <fcntl.h>
#include <set>
#include <unistd.h>
#include <vector>

#include "absl/strings/str_cat.h"
#include <zstd.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/status.h"

namespace slipway {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
// Fast enough for the network it saves; level 1 halves source code at over 300 MB/s.
constexpr int kCompressionLevel = 1;

// What our clients compress with takes half a MiB; a frame that asks for more memory is refused.
constexpr int kLargestWindowLog = 23;
// No real file of any size compresses better.
constexpr uint64_t kMostExpansion = 1000;
constexpr uint64_t kAlwaysUnpacked = 64 << 20;

absl::Status Refuse(absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_UPLOAD", why);
}

absl::Status TooLarge(absl::string_view what, uint64_t limit) {
  return Error(absl::StatusCode::kResourceExhausted, "UPLOAD_TOO_LARGE",
               absl::StrCat(what, "; the limit is ", limit, " bytes"),
               "leave out what the release does not need: .slipwayignore; or raise `uploads` in "
               "controller.yaml");
}

using CompressionContext = std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)>;

// Setting up a context costs more than compressing a small file, so each thread keeps one.
ZSTD_CCtx* ThreadCompressor() {
  thread_local CompressionContext context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kCompressionLevel);
  return context.get();
}

// Compresses pieces as they come and hands on full chunks.
class ChunkWriter {
 public:
  ChunkWriter(absl::string_view digest, uint64_t size, const ChunkSink& sink) : sink_(sink) {
    chunk_.set_digest(std::string(digest));
    chunk_.set_size(size);
    chunk_.mutable_data()->reserve(std::min<size_t>(size, kChunkBytes));
    ZSTD_CCtx_setPledgedSrcSize(context_, size);
  }

  absl::Status Write(absl::string_view bytes, bool last) {
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    while (true) {
      std::string& data = *chunk_.mutable_data();
      const size_t start = data.size();
      data.resize(kChunkBytes);
      ZSTD_outBuffer output{data.data(), data.size(), start};
      const size_t left =
          ZSTD_compressStream2(context_, &output, &input, last ? ZSTD_e_end : ZSTD_e_continue);
      data.resize(output.pos);
      if (ZSTD_isError(left)) return absl::InternalError(ZSTD_getErrorName(left));
      const bool finished = last ? left == 0 : input.pos == input.size;
      if (data.size() == kChunkBytes || (finished && last)) {
        chunk_.set_last(finished && last);
        if (!sink_(chunk_)) return absl::CancelledError("the transfer was given up");
        chunk_.Clear();
      }
      if (finished) return absl::OkStatus();
    }
  }

 private:
  const ChunkSink& sink_;
  ZSTD_CCtx* context_ = ThreadCompressor();
  pb::UploadBlobsRequest chunk_;
};

}  // namespace

absl::Status SendBytes(absl::string_view bytes, absl::string_view digest, const ChunkSink& sink) {
  return ChunkWriter(digest, bytes.size(), sink).Write(bytes, /*last=*/true);
}

absl::Status SendFile(const std::filesystem::path& path, absl::string_view digest, uint64_t size,
                      const ChunkSink& sink) {
  if (size <= kChunkBytes) {
    SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    return SendBytes(bytes, digest, sink);
  }
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoError(path.string());
  ChunkWriter writer(digest, size, sink);
  std::vector<char> buffer(kChunkBytes);
  uint64_t sent = 0;
  while (true) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) return ErrnoError(path.string());
    sent += static_cast<uint64_t>(got);
    if (sent > size || (got == 0 && sent < size)) {
      return absl::AbortedError(absl::StrCat(path.string(), " changed while it was being sent"));
    }
    SLIPWAY_RETURN_IF_ERROR(
        writer.Write({buffer.data(), static_cast<size_t>(got)}, /*last=*/got == 0));
    if (got == 0) return absl::OkStatus();
  }
}

struct BlobReceiver::Decompressor {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  std::vector<char> buffer = std::vector<char>(ZSTD_DStreamOutSize());
  ~Decompressor() { ZSTD_freeDCtx(context); }
};

BlobReceiver::BlobReceiver(BlobStore& store, UploadLimits limits)
    : store_(store), limits_(std::move(limits)), decompressor_(std::make_unique<Decompressor>()) {
  ZSTD_DCtx_setParameter(decompressor_->context, ZSTD_d_windowLogMax, kLargestWindowLog);
}

BlobReceiver::~BlobReceiver() {
  if (reserved_ > 0 && limits_.give_back) limits_.give_back(reserved_);
}

absl::Status BlobReceiver::Open(const pb::UploadBlobsRequest& chunk) {
  const uint64_t announced = chunk.size();
  if (announced > limits_.file_bytes) {
    return TooLarge(absl::StrCat("a file of ", announced, " bytes is announced"),
                    limits_.file_bytes);
  }
  if (announced > limits_.upload_bytes - total_announced_) {
    return TooLarge("more files are announced than fit into one upload", limits_.upload_bytes);
  }
  if (limits_.reserve && !store_.Has(chunk.digest())) {
    SLIPWAY_RETURN_IF_ERROR(limits_.reserve(announced));
    reserved_ = announced;
  }
  announced_ = announced;
  total_announced_ += announced;
  received_ = written_ = 0;
  frame_ended_ = false;
  open_ = true;
  SLIPWAY_ASSIGN_OR_RETURN(writer_, store_.Create(chunk.digest()));
  ZSTD_DCtx_reset(decompressor_->context, ZSTD_reset_session_only);
  return absl::OkStatus();
}

absl::Status BlobReceiver::Store(absl::string_view bytes) {
  written_ += bytes.size();
  if (written_ > announced_) return Refuse("a blob is larger than its announced size");
  if (written_ > kAlwaysUnpacked && written_ / kMostExpansion > received_) {
    return Refuse("a blob's compression multiplies it more than a thousandfold");
  }
  return writer_->Append(bytes);
}

absl::Status BlobReceiver::Unpack(absl::string_view data) {
  received_ += data.size();
  ZSTD_inBuffer input{data.data(), data.size(), 0};
  while (!frame_ended_) {
    ZSTD_outBuffer output{decompressor_->buffer.data(), decompressor_->buffer.size(), 0};
    const size_t hint = ZSTD_decompressStream(decompressor_->context, &output, &input);
    if (ZSTD_isError(hint)) {
      return Refuse(absl::StrCat("the compressed data is broken: ", ZSTD_getErrorName(hint)));
    }
    SLIPWAY_RETURN_IF_ERROR(Store({decompressor_->buffer.data(), output.pos}));
    frame_ended_ = hint == 0;
    // A full buffer may have more behind it although all input is taken.
    if (input.pos == input.size && output.pos < output.size) break;
  }
  if (input.pos != input.size) return Refuse("a blob does not have its announced size");
  return absl::OkStatus();
}

absl::Status BlobReceiver::Close() {
  if (written_ != announced_) return Refuse("a blob does not have its announced size");
  SLIPWAY_RETURN_IF_ERROR(writer_->Commit());
  open_ = false;
  writer_.reset();
  reserved_ = 0;
  totals_.set_blobs(totals_.blobs() + 1);
  totals_.set_stored_bytes(totals_.stored_bytes() + written_);
  return absl::OkStatus();
}

absl::Status BlobReceiver::Take(const pb::UploadBlobsRequest& chunk) {
  if (chunk.data().size() > kChunkBytes) return Refuse("a chunk is larger than 256 KiB");
  if (open_ == !chunk.digest().empty()) {
    return Refuse(open_ ? "a blob starts before the last one has ended" : "a chunk of no blob");
  }
  if (!open_) SLIPWAY_RETURN_IF_ERROR(Open(chunk));
  totals_.set_received_bytes(totals_.received_bytes() + chunk.data().size());
  SLIPWAY_RETURN_IF_ERROR(Unpack(chunk.data()));
  return chunk.last() ? Close() : absl::OkStatus();
}

absl::StatusOr<pb::UploadBlobsResponse> BlobReceiver::Finish() {
  if (open_) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_UPLOAD", "the last blob did not end");
  }
  if (totals_.blobs() > 0) SLIPWAY_RETURN_IF_ERROR(store_.Sync());
  return totals_;
}

absl::StatusOr<std::vector<std::string>> FindMissing(const BlobStore& store,
                                                     absl::string_view manifest_digest) {
  if (!store.Has(manifest_digest)) return std::vector<std::string>{std::string(manifest_digest)};
  SLIPWAY_ASSIGN_OR_RETURN(const std::string bytes, store.Read(manifest_digest));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ParseManifest(bytes));
  std::set<absl::string_view> seen;
  std::vector<std::string> missing;
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.type() == pb::FILE_TYPE_SYMLINK || !seen.insert(entry.digest()).second) continue;
    if (!store.Has(entry.digest())) missing.push_back(entry.digest());
  }
  return missing;
}

}  // namespace slipway
