#include "common/failpoint.h"

#ifdef SLIPWAY_FAILPOINTS

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <string>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace slipway {
namespace {

struct Target {
  std::string name;
  int countdown = 1;
};

// Read each time, so that a test may fork a process that is to die.
Target ChosenTarget() {
  Target target;
  const char* text = std::getenv("SLIPWAY_FAILPOINT");
  absl::string_view view = text == nullptr ? "" : text;
  if (const auto colon = view.find(':'); colon != absl::string_view::npos) {
    if (!absl::SimpleAtoi(view.substr(colon + 1), &target.countdown)) target.countdown = 1;
    view = view.substr(0, colon);
  }
  target.name = std::string(view);
  return target;
}

void Note(absl::string_view name) {
  const char* path = std::getenv("SLIPWAY_FAILPOINT_LOG");
  if (path == nullptr) return;
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const std::string line = absl::StrCat(name, "\n");
  [[maybe_unused]] const ssize_t wrote = write(fd, line.data(), line.size());
  close(fd);
}

}  // namespace

void ReachFailpoint(const std::string& name) {
  static std::atomic<int> reached{0};
  Note(name);
  const Target target = ChosenTarget();
  if (target.name != name) return;
  if (++reached == target.countdown) kill(getpid(), SIGKILL);
}

}  // namespace slipway

#endif
