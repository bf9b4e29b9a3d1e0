// A system that has no thread left, for the code that has to live with it.
#pragma once

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace slipway::testing {

// While it lives, the kernel refuses every new thread of this process: its address space is limited to what it has and a little, so
// that no further stack fits. (A limit of processes would not bind root.)
class NoMoreThreads {
 public:
  // Sanitizers need address space of their own.
  static constexpr bool IsPossible() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return true;
#endif
  }

  NoMoreThreads() {
    getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    constexpr rlim_t kLessThanAStack = 6 << 20;
    rlimit limited = before_;
    limited.rlim_cur = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + kLessThanAStack;
    setrlimit(RLIMIT_AS, &limited);
    // The stacks of threads that have ended are used again: these keep them.
    try {
      while (true) {
        holders_.emplace_back([this] {
          std::unique_lock<std::mutex> lock(mutex_);
          while (!over_) changed_.wait(lock);
        });
      }
    } catch (const std::system_error&) {
    }
  }
  ~NoMoreThreads() {
    setrlimit(RLIMIT_AS, &before_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
      changed_.notify_all();
    }
    for (std::thread& holder : holders_) holder.join();
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  rlimit before_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::vector<std::thread> holders_;
};

}  // namespace slipway::testing
