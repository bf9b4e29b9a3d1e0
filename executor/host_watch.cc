#include "executor/host_watch.h"

#include <algorithm>

#include "common/durations.h"
#include "common/status.h"

namespace slipway::executor {

void HostWatch::Changed() {
  MutexLock lock(mutex_);
  ++mark_;
  changed_.NotifyAll();
}

absl::Status HostWatch::Record(xpb::LocalEvent event) {
  MutexLock lock(mutex_);
  const Clock::Wall now = clock_.WallNow();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  // The clock's share makes a journal begun anew go on above what the controller has seen before.
  event.set_sequence(std::max(journal_.LastEventSequence() + 1,
                              static_cast<uint64_t>(std::max<int64_t>(micros, 0))));
  *event.mutable_time() = ToProto(now);
  xpb::JournalRecord record;
  *record.mutable_event() = std::move(event);
  SLIPWAY_RETURN_IF_ERROR(journal_.Append(record));
  ++mark_;
  changed_.NotifyAll();
  return absl::OkStatus();
}

uint64_t HostWatch::WaitForChange(uint64_t seen, std::chrono::nanoseconds at_most) {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  MutexLock lock(mutex_);
  while (mark_ == seen && !stopped_ && changed_.WaitUntil(mutex_, deadline)) {
  }
  return mark_;
}

void HostWatch::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

bool HostWatch::Stopped() const {
  MutexLock lock(mutex_);
  return stopped_;
}

}  // namespace slipway::executor
