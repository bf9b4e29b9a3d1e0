// A request to stop, seen by whoever waits. One writer or many, any number of readers, no threads of its own.
#pragma once

#include <atomic>
#include <chrono>

#include "common/mutex.h"

namespace slipway {

class Cancellation {
 public:
  void Cancel() {
    cancelled_.store(true);
    MutexLock lock(mutex_);
    changed_.NotifyAll();
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

 private:
  std::atomic<bool> cancelled_{false};
  Mutex mutex_;
  CondVar changed_;
};

}  // namespace slipway
