// Compares, once a minute, what runs and serves with what was deployed, and wakes whoever streams this host when that has changed.
// One thread; an application that is just being deployed is left alone, its last step compares.
#pragma once

#include <thread>

#include "common/cancellation.h"
#include "executor/host_watch.h"
#include "executor/journal.h"
#include "executor/operations.h"
#include "executor/steps/steps.h"

namespace slipway::executor {

class DriftKeeper {
 public:
  DriftKeeper(Journal& journal, Operations& operations, Steps& steps, HostWatch& watch);
  ~DriftKeeper();

 private:
  void Run();

  Journal& journal_;
  Operations& operations_;
  Steps& steps_;
  HostWatch& watch_;
  Cancellation stop_;
  std::thread thread_;
};

}  // namespace slipway::executor
