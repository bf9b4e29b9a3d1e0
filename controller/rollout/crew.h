// Threads for calls that wait for hosts: one for each that is under way, used again for the next.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace slipway::controller {

class Crew {
 public:
  Crew() = default;
  // Waits for everything that was submitted.
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Runs it soon, beside all others. Safe from several threads.
  void Submit(std::function<void()> work);

 private:
  void Work();

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  size_t idle_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> waiting_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ SLIPWAY_GUARDED_BY(mutex_);
};

// Calls it with 0 to count - 1, at most `width` at a time, and returns when all have returned.
void InParallel(size_t count, size_t width, const std::function<void(size_t)>& work);

}  // namespace slipway::controller
