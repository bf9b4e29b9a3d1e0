#include "common/file.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway {

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoError(path.string());
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (true) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(path.string());
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return ErrnoError("write");
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return ErrnoError(absl::StrCat("sync ", folder.string()));
  return absl::OkStatus();
}

absl::Status SyncFileSystem(const std::filesystem::path& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || syncfs(fd.get()) != 0) return ErrnoError(absl::StrCat("sync ", folder.string()));
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view text,
                                 mode_t mode) {
  // Nginx includes conf.d/*.conf: the temporary name must not end in .conf, and stands out as ours.
  std::string temporary = absl::StrCat(path.string(), ".slipway-XXXXXX");
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return ErrnoError(absl::StrCat("create a file beside ", path.string()));
  absl::Status status = WriteAll(fd.get(), text);
  if (status.ok() && (fchmod(fd.get(), mode) != 0 || fsync(fd.get()) != 0 ||
                      rename(temporary.c_str(), path.c_str()) != 0)) {
    status = ErrnoError(absl::StrCat("write ", path.string()));
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return Annotate(status, path.string());
  }
  return SyncFolder(path.has_parent_path() ? path.parent_path() : ".");
}

absl::Status MakeFolders(const std::filesystem::path& folder, mode_t mode) {
  if (folder.empty()) return absl::OkStatus();
  if (mkdir(folder.c_str(), mode) != 0) {
    if (errno == EEXIST) return absl::OkStatus();
    if (errno != ENOENT) return ErrnoError(folder.string());
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder.parent_path(), mode));
    if (mkdir(folder.c_str(), mode) != 0) {
      return errno == EEXIST ? absl::OkStatus() : ErrnoError(folder.string());
    }
  }
  return chmod(folder.c_str(), mode) == 0 ? absl::OkStatus() : ErrnoError(folder.string());
}

uint64_t FreeBytes(const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  return error ? 0 : space.available;
}

}  // namespace slipway
