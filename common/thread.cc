#include "common/thread.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/status.h"

namespace slipway {

absl::StatusOr<std::thread> StartThread(std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& error) {
    return Error(absl::StatusCode::kResourceExhausted, "NO_THREADS",
                 absl::StrCat("the system allows no further thread: ", error.what()),
                 "raise TasksMax of the unit, or the limits of its user");
  }
}

}  // namespace slipway
