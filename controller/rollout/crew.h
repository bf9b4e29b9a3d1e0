// Threads for calls that wait for hosts: one for each that is under way, used again for the next. When the system allows no more
// threads, work waits for one of those that exist.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/mutex.h"

namespace slipway::controller {

class Crew {
 public:
  Crew() = default;
  // Waits for everything that was submitted.
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Starts the first thread, after which everything that is submitted will run. RESOURCE_EXHAUSTED (reason NO_THREADS).
  absl::Status Reserve();
  // Runs it beside all others, or after them when no thread can be started. Without any thread it does not run before a later call
  // of Submit() or Reserve() could start one. Safe from several threads.
  void Submit(std::function<void()> work);

 private:
  absl::Status AddThread() SLIPWAY_REQUIRES(mutex_);
  void Work();

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  size_t idle_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> waiting_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ SLIPWAY_GUARDED_BY(mutex_);
};

// Calls it with 0 to count - 1, at most `width` at a time, and returns when all have returned. Needs no thread but the caller's.
void InParallel(size_t count, size_t width, const std::function<void(size_t)>& work);

}  // namespace slipway::controller
