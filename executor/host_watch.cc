#include "executor/host_watch.h"

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
  event.set_sequence(journal_.LastEventSequence() + 1);
  *event.mutable_time() = ToProto(clock_.WallNow());
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
