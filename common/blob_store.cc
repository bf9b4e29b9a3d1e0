#include "common/blob_store.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigestBytes = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(fs::path folder) {
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder / "tmp", 0700));
  std::error_code error;
  for (const auto& left_over : fs::directory_iterator(folder / "tmp", error)) {
    fs::remove(left_over.path(), error);
  }
  return std::unique_ptr<BlobStore>(new BlobStore(std::move(folder)));
}

fs::path BlobStore::PathOf(absl::string_view digest) const {
  const std::string hex = absl::BytesToHexString(digest);
  return folder_ / hex.substr(0, 2) / hex.substr(2);
}

bool BlobStore::Has(absl::string_view digest) const {
  return digest.size() == kDigestBytes && access(PathOf(digest).c_str(), F_OK) == 0;
}

absl::StatusOr<std::string> BlobStore::Read(absl::string_view digest) const {
  if (digest.size() != kDigestBytes) return absl::InvalidArgumentError("a digest has 32 bytes");
  const fs::path path = PathOf(digest);
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (!error && size > kMostReadAtOnce) {
    return Error(absl::StatusCode::kInvalidArgument, "FILE_LIST_TOO_LARGE",
                 absl::StrCat("a release's file list has at most ", kMostReadAtOnce,
                              " bytes, and this blob has ", size),
                 "leave out what the release does not need: .slipwayignore");
  }
  return ReadFile(path);
}

absl::StatusOr<std::unique_ptr<BlobStore::Writer>> BlobStore::Create(absl::string_view digest) {
  if (digest.size() != kDigestBytes) return absl::InvalidArgumentError("a digest has 32 bytes");
  std::unique_ptr<Writer> writer(new Writer(*this, std::string(digest)));
  writer->temporary_ = (folder_ / "tmp" / "blob-XXXXXX").string();
  writer->fd_ = UniqueFd(mkostemp(writer->temporary_.data(), O_CLOEXEC));
  if (!writer->fd_) {
    const absl::Status status = ErrnoError(writer->temporary_);
    writer->temporary_.clear();
    return status;
  }
  return writer;
}

BlobStore::Writer::~Writer() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status BlobStore::Writer::Append(absl::string_view bytes) {
  hash_.Update(bytes);
  return WriteAll(fd_.get(), bytes);
}

absl::Status BlobStore::Writer::Commit() {
  if (hash_.Finish() != digest_) {
    return Error(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH",
                 absl::StrCat("the content of blob ", absl::BytesToHexString(digest_),
                              " does not match its name"),
                 "send it again");
  }
  const fs::path path = store_.PathOf(digest_);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(path.parent_path(), 0700));
  if (fchmod(fd_.get(), 0400) != 0 || rename(temporary_.c_str(), path.c_str()) != 0) {
    return ErrnoError(path.string());
  }
  temporary_.clear();
  return absl::OkStatus();
}

absl::Status BlobStore::Sync() {
  // One call for all blobs of an upload instead of two per blob.
  return SyncFileSystem(folder_);
}

absl::StatusOr<std::set<std::string>> BlobStore::WrittenBefore(
    std::chrono::system_clock::time_point time) const {
  std::set<std::string> digests;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder_, error), end; at != end; at.increment(error)) {
    const std::string hex =
        absl::StrCat(at->path().parent_path().filename().string(), at->path().filename().string());
    if (hex.size() != 2 * kDigestBytes) continue;
    struct stat info {};
    // Another thread may have removed it.
    if (stat(at->path().c_str(), &info) != 0) continue;
    if (std::chrono::system_clock::from_time_t(info.st_mtime) < time) {
      digests.insert(absl::HexStringToBytes(hex));
    }
  }
  if (error) return absl::UnknownError(absl::StrCat(folder_.string(), ": ", error.message()));
  return digests;
}

absl::StatusOr<uint64_t> BlobStore::Remove(const std::set<std::string>& digests) {
  uint64_t freed = 0;
  for (const std::string& digest : digests) {
    std::error_code error;
    const fs::path path = PathOf(digest);
    const uint64_t size = fs::file_size(path, error);
    if (error) continue;
    if (unlink(path.c_str()) != 0) return ErrnoError(path.string());
    freed += size;
  }
  return freed;
}

}  // namespace slipway
