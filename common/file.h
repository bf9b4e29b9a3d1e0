// Files as Slipway writes them: whole or not at all, and still there after a power cut.
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace slipway {

// Owns a descriptor and closes it.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// NOT_FOUND when it is absent.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

// Temporary file in the same folder, fsync, rename, fsync of the folder: a reader sees the old text or the new one, also
// after a power cut. The temporary file is removed on failure.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view text,
                                 mode_t mode = 0644);

// Writes all bytes, through short writes and EINTR.
absl::Status WriteAll(int fd, absl::string_view bytes);

absl::Status SyncFolder(const std::filesystem::path& folder);

// Everything that was written to the file system that holds the folder.
absl::Status SyncFileSystem(const std::filesystem::path& folder);

// Creates missing folders with the mode, whatever the umask.
absl::Status MakeFolders(const std::filesystem::path& folder, mode_t mode = 0700);
// What may still be written on the folder's file system; 0 when that is not known.
uint64_t FreeBytes(const std::filesystem::path& folder);

}  // namespace slipway
