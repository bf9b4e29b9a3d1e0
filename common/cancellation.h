// A request to stop, seen by whoever waits. One writer or many, any number of readers, no threads
// of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <utility>

#include "common/mutex.h"

namespace slipway {

class Cancellation {
 public:
  // Cancels because this process ends and the next one continues the work: what can go on alone,
  // such as a container, is left running.
  void Suspend() {
    suspended_.store(true);
    Cancel();
  }
  bool IsSuspended() const { return suspended_.load(); }
  void Cancel() {
    cancelled_.store(true);
    MutexLock lock(mutex_);
    changed_.NotifyAll();
    for (const auto& [id, hook] : hooks_) hook();
    hooks_.clear();
  }
  bool IsCancelled() const { return cancelled_.load(); }

  // Waits for the time or until cancelled; true when cancelled.
  bool WaitFor(std::chrono::nanoseconds time) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    MutexLock lock(mutex_);
    while (!cancelled_.load() && changed_.WaitUntil(mutex_, deadline)) {
    }
    return cancelled_.load();
  }
  void WaitUntilCancelled() {
    while (!WaitFor(std::chrono::hours(1))) {
    }
  }

 private:
  friend class CancellationHook;

  std::atomic<bool> cancelled_{false};
  std::atomic<bool> suspended_{false};
  Mutex mutex_;
  CondVar changed_;
  int next_hook_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::map<int, std::function<void()>> hooks_ SLIPWAY_GUARDED_BY(mutex_);
};

// For waiters that sleep in poll(): calls the function once when cancelled, at once if that has
// happened already. It runs in the canceller's thread under a lock: let it write to an eventfd,
// nothing more. After the destructor it no longer runs. Without a Cancellation it does nothing.
class CancellationHook {
 public:
  CancellationHook(Cancellation* cancellation, std::function<void()> hook)
      : cancellation_(cancellation) {
    if (cancellation_ == nullptr) return;
    MutexLock lock(cancellation_->mutex_);
    if (cancellation_->cancelled_.load()) {
      hook();
      return;
    }
    id_ = cancellation_->next_hook_++;
    cancellation_->hooks_.emplace(id_, std::move(hook));
  }
  ~CancellationHook() {
    if (cancellation_ == nullptr || id_ < 0) return;
    MutexLock lock(cancellation_->mutex_);
    cancellation_->hooks_.erase(id_);
  }
  CancellationHook(const CancellationHook&) = delete;
  CancellationHook& operator=(const CancellationHook&) = delete;

 private:
  Cancellation* cancellation_;
  int id_ = -1;
};

}  // namespace slipway
