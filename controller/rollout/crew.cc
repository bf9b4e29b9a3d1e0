#include "controller/rollout/crew.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "common/status.h"
#include "common/thread.h"

namespace slipway::controller {

Crew::~Crew() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

absl::Status Crew::AddThread() {
  SLIPWAY_ASSIGN_OR_RETURN(std::thread thread, StartThread([this] { Work(); }));
  threads_.push_back(std::move(thread));
  return absl::OkStatus();
}

absl::Status Crew::Reserve() {
  MutexLock lock(mutex_);
  return threads_.empty() ? AddThread() : absl::OkStatus();
}

void Crew::Submit(std::function<void()> work) {
  MutexLock lock(mutex_);
  waiting_.push_back(std::move(work));
  // A thread that is busy takes it later when no new one can be started.
  if (waiting_.size() > idle_) AddThread().IgnoreError();
  changed_.NotifyOne();
}

void Crew::Work() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(mutex_);
      ++idle_;
      while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
      --idle_;
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

void InParallel(size_t count, size_t width, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next = 0;
  const auto take = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  Crew crew;
  // This thread takes its share.
  for (size_t i = 1; i < std::min(count, width); ++i) crew.Submit(take);
  take();
}

}  // namespace slipway::controller
