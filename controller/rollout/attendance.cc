#include "controller/rollout/attendance.h"

#include <algorithm>

namespace slipway::controller {

using std::chrono::steady_clock;

Attendance::Attendance(std::chrono::nanoseconds grace,
                       std::function<void(const std::string& app, const std::string& id)> abandoned)
    : grace_(grace), abandoned_(std::move(abandoned)), thread_([this] { Run(); }) {}

Attendance::~Attendance() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Attendance::Expect(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  Attended& one = attended_[{app, id}];
  one.expected = true;
  one.until = steady_clock::now() + grace_;
  changed_.NotifyAll();
}

void Attendance::Forget(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  const auto found = attended_.find({app, id});
  if (found == attended_.end()) return;
  found->second.expected = false;
  if (found->second.watches == 0) attended_.erase(found);
}

void Attendance::Enter(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  ++attended_[{app, id}].watches;
}

void Attendance::Leave(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  const auto found = attended_.find({app, id});
  if (found == attended_.end()) return;
  Attended& one = found->second;
  if (--one.watches > 0) return;
  if (!one.expected) {
    attended_.erase(found);
    return;
  }
  one.until = steady_clock::now() + grace_;
  changed_.NotifyAll();
}

std::optional<Attendance::Key> Attendance::AwaitAbandoned() {
  MutexLock lock(mutex_);
  while (!stop_) {
    const auto now = steady_clock::now();
    std::optional<steady_clock::time_point> next;
    for (const auto& [key, one] : attended_) {
      if (!one.expected || one.watches > 0) continue;
      if (one.until <= now) {
        // Told once; whoever resumes it expects somebody anew.
        const Key abandoned = key;
        attended_.erase(key);
        return abandoned;
      }
      next = std::min(next.value_or(one.until), one.until);
    }
    if (next) {
      changed_.WaitUntil(mutex_, *next);
    } else {
      changed_.Wait(mutex_);
    }
  }
  return std::nullopt;
}

void Attendance::Run() {
  while (const auto abandoned = AwaitAbandoned()) abandoned_(abandoned->first, abandoned->second);
}

}  // namespace slipway::controller
