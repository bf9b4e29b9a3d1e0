// What compose_binds.h plans, made on the host: copies of bound files, state directories, and the
// record of those that an adopted installation brought along.
#include <algorithm>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/logging.h"
#include "common/status.h"
#include "executor/drivers/compose_workload.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Any user of a container may write there; the directory above lets nobody else in.
constexpr mode_t kStateMode = 0777;

bool Contains(const fs::path& outer, const fs::path& inner) {
  const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

fs::path Real(const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  return error ? path : real;
}

// INVALID_COMPOSE_FILE when the way to an adopted directory is not what it was: what lies there may
// have been replaced by a link since. A directory that this process may not look at is taken as it is.
absl::Status CheckAdopted(const PlannedBind& bind) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  const UniqueFd there(
      static_cast<int>(syscall(SYS_openat2, AT_FDCWD, bind.source.c_str(), &how, sizeof(how))));
  if (there || errno == EACCES || errno == EPERM) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_START,
                 absl::StrCat("./", bind.path, " is ", bind.source,
                              " of the installation that was taken over, and that ",
                              errno == ENOENT ? "is gone" : "has a link in its path"),
                 "put the directory back in its place");
}

// Text of the env file that lies at or below `path` of the release, relative to it; nothing when it
// lies elsewhere.
std::optional<std::string> Within(const std::string& env_file, const std::string& path) {
  const std::string file = fs::path(env_file).lexically_normal().string();
  if (file == path) return "";
  if (!IsBelow(file, path)) return std::nullopt;
  return path.empty() ? file : file.substr(path.size() + 1);
}

json ReadRecord(const fs::path& path) {
  const auto text = ReadFile(path);
  json record = text.ok() ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
  return record.is_object() ? record : json::object();
}

}  // namespace

std::optional<DockerMount> FindMounted(const std::vector<DockerMount>& mounts,
                                       const std::vector<fs::path>& paths) {
  for (const DockerMount& mount : mounts) {
    for (const fs::path& path : paths) {
      const fs::path source(mount.source);
      if (Contains(path, source) || Contains(Real(path), Real(source))) return mount;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::map<std::string, std::string>> ComposeWorkload::AdoptedState(
    const StagedRelease& release) {
  std::map<std::string, std::string> adopted;
  const json record = ReadRecord(paths_.AdoptedData(release.app));
  for (const auto& item : record.items()) {
    if (item.value().is_string()) adopted[item.key()] = item.value().get<std::string>();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const auto containers,
                           engine_.List({{kLabelProject, release.spec.compose().project()}}));
  for (const DockerContainer& container : containers) {
    const fs::path folder(container.Label(kLabelWorkingDirectory));
    if (folder.empty() || !container.Label(kLabelApp).empty()) continue;
    for (const std::string& source : container.binds) {
      const fs::path path = fs::path(source).lexically_normal();
      if (path == folder || !Contains(folder, path)) continue;
      const std::string relative = path.lexically_relative(folder).string();
      // One that Slipway has made is in use already.
      if (fs::exists(paths_.Data(release.app) / EncodedPath(relative))) continue;
      adopted.emplace(relative, Real(path).string());
    }
  }
  return adopted;
}

absl::Status ComposeWorkload::RecordAdopted(const std::string& app,
                                            const std::vector<PlannedBind>& binds) const {
  const json before = ReadRecord(paths_.AdoptedData(app));
  json record = before;
  for (const PlannedBind& bind : binds) {
    if (bind.adopted) record[bind.path] = bind.source;
  }
  if (record == before) return absl::OkStatus();
  return WriteFileAtomically(paths_.AdoptedData(app), record.dump(), 0600);
}

absl::Status ComposeWorkload::MakeReleaseBinds(const StagedRelease& release,
                                               const pb::Manifest& manifest,
                                               absl::string_view env_file,
                                               const CutResult& cut) const {
  for (const PlannedBind& bind : cut.binds) {
    if (bind.place != BindPlace::kDetached) continue;
    const auto env = Within(release.spec.compose().env_file(), bind.path);
    if (!env || !env->empty())
      SLIPWAY_RETURN_IF_ERROR(releases_.Refresh(bind.source, manifest, bind.path));
    if (!env) continue;
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(fs::path(bind.source).parent_path(), 0700));
    SLIPWAY_RETURN_IF_ERROR(ReleaseStore::Put(bind.source, *env, env_file));
  }
  for (const MountPoint& point : cut.mount_points) {
    if (point.place != BindPlace::kRelease && point.place != BindPlace::kDetached) continue;
    SLIPWAY_RETURN_IF_ERROR(ReleaseStore::MakeMountPoint(point.base, point.path, point.file));
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::Manifest> ComposeWorkload::ManifestOf(const StagedRelease& release) const {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string digest,
                           ReadFile(paths_.Generated(release.app, release.release) / "manifest"));
  return releases_.ReadManifest(digest);
}

absl::Status ComposeWorkload::MakeLastingBinds(const StagedRelease& release,
                                               const CutResult& cut) const {
  for (const PlannedBind& bind : cut.binds) {
    if (bind.place != BindPlace::kState) continue;
    if (bind.adopted) {
      SLIPWAY_RETURN_IF_ERROR(CheckAdopted(bind));
      continue;
    }
    if (fs::is_directory(bind.source)) continue;
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(paths_.Data(release.app), 0700));
    SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release));
    // Under another name until it is whole: what the release has for it comes along once.
    const fs::path draft = absl::StrCat(bind.source, ".new");
    std::error_code error;
    fs::remove_all(draft, error);
    SLIPWAY_RETURN_IF_ERROR(releases_.Refresh(draft, manifest, bind.path));
    if (chmod(draft.c_str(), kStateMode) != 0) return ErrnoError(draft.string());
    fs::rename(draft, bind.source, error);
    if (error) return absl::InternalError(absl::StrCat(bind.source, ": ", error.message()));
  }
  for (const MountPoint& point : cut.mount_points) {
    if (point.place != BindPlace::kState) continue;
    // What a container has made there may be closed to this process; Docker makes it then.
    const absl::Status made = ReleaseStore::MakeMountPoint(point.base, point.path, point.file);
    if (!made.ok()) LogWarning("mount point", {{"error", std::string(made.message())}});
  }
  return absl::OkStatus();
}

absl::Status ComposeWorkload::RefreshShared(const StagedRelease& release, const CutResult& cut,
                                            const std::vector<std::string>& services) const {
  std::set<std::string> paths;
  for (const std::string& service : services) {
    const auto found = cut.shared_paths.find(service);
    if (found != cut.shared_paths.end()) paths.insert(found->second.begin(), found->second.end());
  }
  if (paths.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ManifestOf(release));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string env_file,
                           ReadFile(paths_.Generated(release.app, release.release) / "env"));
  for (const std::string& path : paths) {
    const fs::path target = paths_.SharedFiles(release.app) / EncodedPath(path);
    const auto env = Within(release.spec.compose().env_file(), path);
    if (!env || !env->empty()) SLIPWAY_RETURN_IF_ERROR(releases_.Refresh(target, manifest, path));
    if (!env) continue;
    SLIPWAY_RETURN_IF_ERROR(MakeFolders(target.parent_path(), 0700));
    SLIPWAY_RETURN_IF_ERROR(ReleaseStore::Put(target, *env, env_file));
  }
  for (const MountPoint& point : cut.mount_points) {
    if (point.place != BindPlace::kShared || !fs::exists(point.base)) continue;
    SLIPWAY_RETURN_IF_ERROR(ReleaseStore::MakeMountPoint(point.base, point.path, point.file));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> ComposeWorkload::MountedReleases(
    const std::string& app, const std::vector<std::string>& releases) {
  std::map<std::string, std::string> mounted;
  if (releases.empty()) return mounted;
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerMount> mounts, engine_.Mounts());
  for (const std::string& release : releases) {
    const auto found =
        FindMounted(mounts, {paths_.Release(app, release), paths_.Generated(app, release),
                             paths_.Detached(app, release)});
    if (found) mounted[release] = found->container;
  }
  return mounted;
}

}  // namespace slipway::executor
