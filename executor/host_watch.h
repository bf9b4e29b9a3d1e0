// What happens on this host without the controller asking: wakes whoever streams it, and numbers
// the local events.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "common/clock.h"
#include "common/mutex.h"
#include "common/protos.h"
#include "executor/journal.h"

namespace slipway::executor {

class HostWatch {
 public:
  HostWatch(Journal& journal, Clock& clock) : journal_(journal), clock_(clock) {}

  // Something that Inspect would show has changed.
  void Changed();
  // Commits an event that the controller has to learn of, and wakes the streams.
  absl::Status Record(xpb::LocalEvent event);
  // Until Changed() was called after the call that answered `seen`, or the time is over; answers a
  // new mark.
  uint64_t WaitForChange(uint64_t seen, std::chrono::nanoseconds at_most);
  // Lets every waiter go, now and from now on.
  void Stop();
  bool Stopped() const;

 private:
  Journal& journal_;
  Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t mark_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  bool stopped_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway::executor
