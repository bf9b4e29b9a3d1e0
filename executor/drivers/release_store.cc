#include "executor/drivers/release_store.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/blob_transfer.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

// A release that was asked for and does not come within this is given up.
constexpr std::chrono::hours kExpected{1};
// Ids of releases are hexadecimal.
constexpr char kScratch[] = "scratch-";

// Opens below `root` and nowhere else: not through a link, not by `..`, whoever changes the tree
// meanwhile.
int OpenBeneath(int root, const std::string& path, uint64_t flags, uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)));
}

// The folder that holds `path`, made with its parents when it is absent.
absl::StatusOr<UniqueFd> ParentBeneath(int root, const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  UniqueFd fd(OpenBeneath(root, parent, O_RDONLY | O_DIRECTORY, 0));
  if (fd) return fd;
  if (errno != ENOENT) return ErrnoError(path);
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd above, ParentBeneath(root, parent));
  const std::string name = parent.substr(parent.rfind('/') + 1);
  if (mkdirat(above.get(), name.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoError(parent);
  fd = UniqueFd(OpenBeneath(root, parent, O_RDONLY | O_DIRECTORY, 0));
  // As of the files below, the mode is the release's, whatever the umask.
  if (!fd || fchmod(fd.get(), 0755) != 0) return ErrnoError(parent);
  return fd;
}

// Shares the blob's blocks where the file system can, copies in the kernel where it cannot.
absl::Status CopyContent(int from, int to, uint64_t size) {
  struct stat info {};
  if (fstat(from, &info) != 0) return ErrnoError("copy");
  if (static_cast<uint64_t>(info.st_size) != size) {
    return Failure(
        pb::FAILURE_REASON_RELEASE_CONTENT,
        absl::StrCat("the manifest says ", size, " bytes, its content has ", info.st_size));
  }
  uint64_t copied = 0;
  while (copied < size) {
    const ssize_t got = copy_file_range(from, nullptr, to, nullptr, size - copied, 0);
    if (got < 0) return ErrnoError("copy");
    if (got == 0) return absl::DataLossError("a blob is shorter than its manifest says");
    copied += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

// `replace` removes the file that is there.
absl::Status UnpackEntry(const BlobStore& blobs, int root, const pb::ManifestEntry& entry,
                         const std::string& path, bool replace = false) {
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd parent, ParentBeneath(root, path));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (replace && unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    return ErrnoError(path);
  if (entry.type() == pb::FILE_TYPE_SYMLINK) {
    if (symlinkat(entry.link_target().c_str(), parent.get(), name.c_str()) != 0)
      return ErrnoError(path);
    return absl::OkStatus();
  }
  const UniqueFd from(open(blobs.PathOf(entry.digest()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) {
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT,
                   absl::StrCat("the content of ", path, " (",
                                absl::BytesToHexString(entry.digest()).substr(0, 12),
                                ") is not on this host"));
  }
  const mode_t mode = entry.type() == pb::FILE_TYPE_EXECUTABLE ? 0755 : 0644;
  const UniqueFd to(OpenBeneath(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL, mode));
  if (!to) return ErrnoError(path);
  if (fchmod(to.get(), mode) != 0) return ErrnoError(path);
  return Annotate(CopyContent(from.get(), to.get(), entry.size()), path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReleaseStore>> ReleaseStore::Open(const Paths& paths) {
  SLIPWAY_ASSIGN_OR_RETURN(std::unique_ptr<BlobStore> blobs, BlobStore::Open(paths.Blobs()));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(paths.Apps(), 0700));
  // Everything below is readable for the sake of containers, so this is what keeps others out.
  if (chmod(paths.Apps().c_str(), 0700) != 0) return ErrnoError(paths.Apps().string());
  std::unique_ptr<ReleaseStore> store(new ReleaseStore(paths, std::move(blobs)));
  store->RemoveScratch();
  return store;
}

absl::StatusOr<std::vector<std::string>> ReleaseStore::FindMissing(
    const std::string& manifest_digest) {
  MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(expected_, [now](const auto& entry) { return entry.second < now; });
  expected_[manifest_digest] = now + kExpected;
  return slipway::FindMissing(*blobs_, manifest_digest);
}

absl::StatusOr<uint64_t> ReleaseStore::RemoveBlobs(std::set<std::string> doomed) {
  MutexLock lock(mutex_);
  for (const auto& [digest, until] : expected_) {
    doomed.erase(digest);
    const auto manifest = ReadManifest(digest);
    if (!manifest.ok()) continue;
    for (const pb::ManifestEntry& entry : manifest->entries()) doomed.erase(entry.digest());
  }
  return blobs_->Remove(doomed);
}

absl::StatusOr<pb::Manifest> ReleaseStore::ReadManifest(absl::string_view manifest_digest) const {
  auto bytes = blobs_->Read(manifest_digest);
  if (!bytes.ok()) {
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT,
                   "the release's file list is not on this host");
  }
  return ParseManifest(*bytes);
}

bool ReleaseStore::IsSealed(absl::string_view app, absl::string_view release) const {
  return fs::exists(paths_.Generated(app, release) / "sealed");
}

absl::Status ReleaseStore::Unpack(absl::string_view app, absl::string_view release,
                                  const pb::Manifest& manifest) {
  SLIPWAY_RETURN_IF_ERROR(Remove(app, release));
  SLIPWAY_RETURN_IF_ERROR(UnpackInto(paths_.Release(app, release), manifest, ""));
  return MakeFolders(paths_.Generated(app, release), 0700);
}

absl::Status ReleaseStore::UnpackInto(const fs::path& folder, const pb::Manifest& manifest,
                                      absl::string_view prefix) const {
  std::error_code error;
  fs::remove_all(folder, error);
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder.parent_path(), 0700));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(folder, 0755));
  const UniqueFd root(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError(folder.string());
  const std::string start = prefix.empty() ? "" : absl::StrCat(prefix, "/");
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (!absl::StartsWith(entry.path(), start)) continue;
    SLIPWAY_RETURN_IF_ERROR(
        UnpackEntry(*blobs_, root.get(), entry, entry.path().substr(start.size())));
  }
  return absl::OkStatus();
}

absl::Status ReleaseStore::Refresh(const fs::path& target, const pb::Manifest& manifest,
                                   const std::string& path) const {
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (entry.path() != path) continue;
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(target.parent_path(), 0700));
    const UniqueFd parent(open(target.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent) return ErrnoError(target.string());
    return UnpackEntry(*blobs_, parent.get(), entry, target.filename().string(), /*replace=*/true);
  }
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(target.parent_path(), 0700));
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(target, 0755));
  const UniqueFd root(open(target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError(target.string());
  const std::string start = path.empty() ? "" : absl::StrCat(path, "/");
  for (const pb::ManifestEntry& entry : manifest.entries()) {
    if (!absl::StartsWith(entry.path(), start)) continue;
    SLIPWAY_RETURN_IF_ERROR(UnpackEntry(*blobs_, root.get(), entry,
                                        entry.path().substr(start.size()), /*replace=*/true));
  }
  return absl::OkStatus();
}

absl::Status ReleaseStore::Put(const fs::path& base, const std::string& path,
                               absl::string_view text) {
  const fs::path folder = path.empty() ? base.parent_path() : base;
  const std::string relative = path.empty() ? base.filename().string() : path;
  const UniqueFd root(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError(folder.string());
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd parent, ParentBeneath(root.get(), relative));
  const std::string name = relative.substr(relative.rfind('/') + 1);
  if (unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT) return ErrnoError(relative);
  const UniqueFd file(OpenBeneath(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0644));
  if (!file || fchmod(file.get(), 0644) != 0) return ErrnoError(relative);
  return WriteAll(file.get(), text);
}

absl::Status ReleaseStore::MakeMountPoint(const fs::path& base, const std::string& path,
                                          bool file) {
  const UniqueFd root(open(base.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError(base.string());
  SLIPWAY_ASSIGN_OR_RETURN(const UniqueFd parent, ParentBeneath(root.get(), path));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (file) {
    const UniqueFd made(OpenBeneath(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0644));
    return made || errno == EEXIST ? absl::OkStatus() : ErrnoError(path);
  }
  if (mkdirat(parent.get(), name.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoError(path);
  return absl::OkStatus();
}

absl::Status ReleaseStore::Seal(absl::string_view app, absl::string_view release) {
  // One syncfs for the whole tree, then the mark that says so.
  SLIPWAY_RETURN_IF_ERROR(blobs_->Sync());
  return WriteFileAtomically(paths_.Generated(app, release) / "sealed", "", 0600);
}

absl::Status ReleaseStore::Remove(absl::string_view app, absl::string_view release) {
  std::error_code error;
  // The mark first: a half-removed release is not whole.
  fs::remove(paths_.Generated(app, release) / "sealed", error);
  std::string failed;
  for (const fs::path& folder : {paths_.Generated(app, release), paths_.Release(app, release),
                                 paths_.Detached(app, release)}) {
    fs::remove_all(folder, error);
    if (error) failed = absl::StrCat(folder.string(), ": ", error.message());
  }
  if (failed.empty()) return absl::OkStatus();
  if (remover_ == nullptr)
    return absl::InternalError(absl::StrCat("remove release ", release, ": ", failed));
  return Annotate(remover_(std::string(app), std::string(release)),
                  absl::StrCat("remove release ", release));
}

std::vector<std::string> ReleaseStore::List(absl::string_view app) const {
  std::vector<std::string> releases;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(paths_.Releases(app), error)) {
    const std::string name = folder.path().filename().string();
    if (!absl::StartsWith(name, kScratch)) releases.push_back(name);
  }
  return releases;
}

std::string ReleaseStore::ScratchId() { return absl::StrCat(kScratch, ++scratches_); }

void ReleaseStore::RemoveScratch() {
  std::error_code error;
  fs::remove_all(paths_.BuildContexts(), error);
  for (const auto& app : fs::directory_iterator(paths_.Apps(), error)) {
    const std::string name = app.path().filename().string();
    for (const auto& folder : fs::directory_iterator(paths_.Releases(name), error)) {
      const std::string release = folder.path().filename().string();
      if (absl::StartsWith(release, kScratch)) Remove(name, release).IgnoreError();
    }
  }
}

}  // namespace slipway::executor
