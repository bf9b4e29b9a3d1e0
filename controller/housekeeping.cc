#include "controller/housekeeping.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"

#include "common/logging.h"
#include "controller/catalog/releases.h"
#include "controller/metrics.h"
#include "controller/store/store.h"

namespace slipway::controller {

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
}

}  // namespace slipway::controller
