// What the controller that acts does for the state itself, on a thread of its own: it checks the chain of the history, and once a day
// removes files, records, request ids and events that nothing needs any more.
#pragma once

#include <thread>

#include "common/cancellation.h"
#include "common/clock.h"

namespace slipway::controller {

class Metrics;
class Releases;
class Store;

class Housekeeping {
 public:
  Housekeeping(Store& store, Releases& releases, Metrics& metrics, Clock& clock)
      : store_(store), releases_(releases), metrics_(metrics), clock_(clock) {}
  // Waits for what is being removed.
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  // At once, on the caller's thread; a broken chain is logged and counted. The longer the history, the longer it takes.
  void CheckHistory();
  // At most once; `check_history` first of all.
  void Start(bool check_history);

 private:
  void RemoveWhatIsUnused();

  Store& store_;
  Releases& releases_;
  Metrics& metrics_;
  Clock& clock_;
  Cancellation stop_;
  std::thread thread_;
};

}  // namespace slipway::controller
