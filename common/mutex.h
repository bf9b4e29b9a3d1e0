// std::mutex with the annotations that clang's thread-safety check reads. Not absl::Mutex, because the thread sanitizer
// cannot see into the distribution's build of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define SLIPWAY_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define SLIPWAY_THREAD_ANNOTATION(x)
#endif

#define SLIPWAY_GUARDED_BY(x) SLIPWAY_THREAD_ANNOTATION(guarded_by(x))
#define SLIPWAY_REQUIRES(...) SLIPWAY_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define SLIPWAY_EXCLUDES(...) SLIPWAY_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace slipway {

class SLIPWAY_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void Lock() SLIPWAY_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void Unlock() SLIPWAY_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SLIPWAY_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) SLIPWAY_THREAD_ANNOTATION(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() SLIPWAY_THREAD_ANNOTATION(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may wake without cause: call them in a loop over the condition.
class CondVar {
 public:
  void Wait(Mutex& mutex) SLIPWAY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when the deadline passed.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      SLIPWAY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyAll() { condition_.notify_all(); }
  void NotifyOne() { condition_.notify_one(); }

 private:
  std::condition_variable condition_;
};

}  // namespace slipway
