#include "controller/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway::controller {

absl::Status StateFolder::CheckUser() const {
  struct stat facts {};
  if (stat(root_.c_str(), &facts) != 0 || facts.st_uid == geteuid()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "OTHER_USER",
               absl::StrCat(root_.string(), " belongs to another user (uid ", facts.st_uid, ")"),
               absl::StrCat("run this as that user: sudo -u '#", facts.st_uid, "' ..."));
}

absl::StatusOr<UniqueFd> StateFolder::Lock() const {
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(root_));
  const std::filesystem::path file = root_ / "lock";
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoError(absl::StrCat("open ", file.string()));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_IN_USE",
                 absl::StrCat("another controller uses ", root_.string()),
                 "stop it, or give this one another state folder");
  }
  return fd;
}

}  // namespace slipway::controller
