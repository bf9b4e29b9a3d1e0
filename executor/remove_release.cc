#include "executor/remove_release.h"

#include <cstdio>
#include <fcntl.h>
#include <iostream>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <dirent.h>

#include "common/file.h"
#include "common/names.h"
#include "common/status.h"
#include "executor/config.h"
#include "executor/drivers/compose_workload.h"

namespace slipway::executor {
namespace {

namespace fs = std::filesystem;

// Deeper directories are moved to the top before they are emptied, so that a tree of any depth needs
// a bounded number of descriptors.
constexpr int kMostLevels = 64;

UniqueFd OpenFolder(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
}

class TreeRemoval {
 public:
  explicit TreeRemoval(int top) : top_(top) {}

  // Everything in the directory, which is `level` below the top.
  absl::Status Empty(int folder, int level) {
    // Read anew until nothing is left: names are removed, and moved to the top, while it is read.
    while (true) {
      SLIPWAY_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
      if (names.empty()) return absl::OkStatus();
      for (const std::string& name : names) SLIPWAY_RETURN_IF_ERROR(Remove(folder, name, level));
    }
  }

  absl::Status Remove(int folder, const std::string& name, int level) {
    const UniqueFd inner = OpenFolder(folder, name);
    if (!inner) {
      // A file, or a link, which is removed and never followed.
      if (errno != ENOTDIR && errno != ELOOP && errno != ENXIO) return ErrnoError(name);
      return unlinkat(folder, name.c_str(), 0) == 0 ? absl::OkStatus() : ErrnoError(name);
    }
    if (level >= kMostLevels) {
      const std::string moved = absl::StrCat("slipway-removed-", ++moved_);
      return renameat(folder, name.c_str(), top_, moved.c_str()) == 0 ? absl::OkStatus()
                                                                      : ErrnoError(name);
    }
    SLIPWAY_RETURN_IF_ERROR(Empty(inner.get(), level + 1));
    return unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 ? absl::OkStatus() : ErrnoError(name);
  }

 private:
  static absl::StatusOr<std::vector<std::string>> NamesIn(int folder) {
    UniqueFd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy) return ErrnoError("read directory");
    DIR* stream = fdopendir(copy.get());
    if (stream == nullptr) return ErrnoError("read directory");
    static_cast<void>(copy.Release());
    std::vector<std::string> names;
    while (const dirent* entry = readdir(stream)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(stream);
    return names;
  }

  const int top_;
  uint64_t moved_ = 0;
};

absl::Status CheckOwnedByRoot(const fs::path& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoError(path.string());
  if (info.st_uid == 0 && (info.st_mode & 022) == 0 && !S_ISLNK(info.st_mode)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path.string(), " must belong to root and be writable by nobody else"));
}

absl::Status RemoveAsRoot(const std::string& config_path) {
  const fs::path config_file(config_path);
  SLIPWAY_RETURN_IF_ERROR(CheckOwnedByRoot(config_file));
  SLIPWAY_RETURN_IF_ERROR(CheckOwnedByRoot(config_file.parent_path()));
  SLIPWAY_ASSIGN_OR_RETURN(const config::v1::ExecutorConfig config, LoadConfig(config_path));
  std::string line;
  std::getline(std::cin, line);
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words.size() != 2)
    return absl::InvalidArgumentError("standard input must have one line: APP RELEASE");
  DockerEngine engine(config.docker_socket());
  return RemoveReleaseBeneath(config.state(), engine, words[0], words[1]);
}

}  // namespace

absl::Status RemoveReleaseBeneath(const fs::path& state, DockerEngine& engine,
                                  const std::string& app, const std::string& release) {
  if (!IsApplicationName(app) || !IsReleaseId(release))
    return absl::InvalidArgumentError("not the names of an application and a release");
  const Paths paths(state);
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerMount> mounts, engine.Mounts());
  const auto mounted = FindMounted(
      mounts,
      {paths.Release(app, release), paths.Generated(app, release), paths.Detached(app, release)});
  if (mounted) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", mounted->container, " has ", mounted->source, " mounted"));
  }
  const UniqueFd root(open(state.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError(state.string());
  for (const char* kind : {"releases", "detached", "state"}) {
    const UniqueFd parent = OpenFolder(root.get(), absl::StrCat("apps/", app, "/", kind));
    if (!parent) {
      if (errno == ENOENT) continue;
      return ErrnoError(absl::StrCat(app, "/", kind));
    }
    const UniqueFd top = OpenFolder(parent.get(), release);
    if (!top) {
      if (errno == ENOENT) continue;
      return ErrnoError(absl::StrCat(app, "/", kind, "/", release));
    }
    SLIPWAY_RETURN_IF_ERROR(TreeRemoval(top.get()).Empty(top.get(), 0));
    if (unlinkat(parent.get(), release.c_str(), AT_REMOVEDIR) != 0) return ErrnoError(release);
  }
  return absl::OkStatus();
}

int RemoveRelease(const std::string& config_path) {
  const absl::Status removed = RemoveAsRoot(config_path);
  if (removed.ok()) return 0;
  std::fprintf(stderr, "slipway-executor: %s\n", std::string(removed.message()).c_str());
  return 1;
}

ReleaseStore::Remover RemoverBy(ProcessRunner& runner, std::vector<std::string> command) {
  return [&runner, command = std::move(command)](const std::string& app,
                                                 const std::string& release) -> absl::Status {
    Command run;
    run.argv = command;
    run.standard_input = absl::StrCat(app, " ", release, "\n");
    run.timeout = std::chrono::minutes(5);
    SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult result, runner.Run(run));
    if (result.ok()) return absl::OkStatus();
    return Error(absl::StatusCode::kPermissionDenied, "ROOTS_FILES",
                 absl::StrCat("a container wrote files in it as root, and `", run.ToString(),
                              "` fails: ", absl::StripAsciiWhitespace(result.standard_error)),
                 "run `slipway-executor setup` as root, which allows that command by sudo");
  };
}

}  // namespace slipway::executor
