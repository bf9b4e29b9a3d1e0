#include "controller/housekeeping.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "controller/catalog/releases.h"
#include "controller/metrics.h"
#include "controller/store/store.h"

namespace slipway::controller {
namespace {
// docs/operating.md has both.
constexpr std::chrono::hours kRequestsAreKept{30 * 24};
constexpr std::chrono::hours kEventsAreKept{90 * 24};
}  // namespace

Housekeeping::~Housekeeping() {
  stop_.Cancel();
  if (thread_.joinable()) thread_.join();
}

void Housekeeping::CheckHistory() {
  const absl::Status intact = store_.VerifyHistory();
  metrics_.HistoryIntact(intact.ok());
  if (intact.ok()) return;
  LogError("the history is broken", {{"problem", std::string(intact.message())}});
}

void Housekeeping::Start(bool check_history) {
  thread_ = std::thread([this, check_history] {
    if (check_history) CheckHistory();
    do {
      RemoveWhatIsUnused();
    } while (!stop_.WaitFor(std::chrono::hours(24)));
  });
}

void Housekeeping::RemoveWhatIsUnused() {
  const auto freed = releases_.RemoveUnusedBlobs();
  if (!freed.ok()) {
    LogError("cannot remove unused files", {{"problem", std::string(freed.status().message())}});
  } else if (*freed > 0) {
    LogInfo("unused files removed", {{"bytes", absl::StrCat(*freed)}});
  }
  if (const absl::Status removed = store_.RemoveExpiredRecords(); !removed.ok()) {
    LogError("cannot remove what has expired", {{"problem", std::string(removed.message())}});
  }
  const Time now = clock_.WallNow();
  if (const absl::Status removed = store_.RemoveRequests(now - kRequestsAreKept); !removed.ok()) {
    LogError("cannot remove old request ids", {{"problem", std::string(removed.message())}});
  }
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more && !stop_.IsCancelled())
    more = store_.RemoveEvents(now - kEventsAreKept);
  if (!more.ok()) {
    LogError("cannot remove old events", {{"problem", std::string(more.status().message())}});
  }
}

}  // namespace slipway::controller
