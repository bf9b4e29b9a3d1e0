#include "executor/drivers/workload.h"

#include <algorithm>

namespace slipway::executor {

std::string Workload::AwaitDeath(const std::string&, pb::Slot, Cancellation& stop) {
  stop.WaitUntilCancelled();
  return "";
}

bool ObservedSlot::AllRunning() const {
  return !containers.empty() &&
         std::all_of(containers.begin(), containers.end(),
                     [](const ObservedContainer& container) { return container.running; });
}

}  // namespace slipway::executor
