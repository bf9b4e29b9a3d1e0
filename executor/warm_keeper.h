// Stops warm slots when their window is over. One thread, asleep until the next window's end or a
// change of the facts.
#pragma once

#include <thread>

#include "common/cancellation.h"
#include "executor/host_watch.h"
#include "executor/journal.h"
#include "executor/operations.h"
#include "executor/steps/steps.h"

namespace slipway::executor {

class WarmKeeper {
 public:
  WarmKeeper(Journal& journal, Operations& operations, Steps& steps, HostWatch& watch);
  // The watch must have been stopped before.
  ~WarmKeeper();

 private:
  void Run();
  // Ends what is due; answers the seconds to the next window's end, at most an hour.
  std::chrono::seconds EndWhatIsDue();

  Journal& journal_;
  Operations& operations_;
  Steps& steps_;
  HostWatch& watch_;
  std::thread thread_;
};

}  // namespace slipway::executor
