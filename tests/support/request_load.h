// Requests on fresh connections, one after another in a few threads, every answer counted.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace slipway::testing {

class RequestLoad {
 public:
  RequestLoad(const std::string& address, uint32_t port, int threads,
              const std::string& path = "/");
  ~RequestLoad() { Stop(); }

  void Stop();
  int sent() const { return sent_.load(); }
  // What went wrong, to how often; empty when nothing did.
  std::map<std::string, int> failures();
  // Bodies that came, to how often.
  std::map<std::string, int> bodies();

 private:
  void Run(const std::string& address, uint32_t port, const std::string& path);

  std::atomic<bool> stop_{false};
  std::atomic<int> sent_{0};
  Mutex mutex_;
  std::map<std::string, int> failures_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<std::string, int> bodies_ SLIPWAY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace slipway::testing
