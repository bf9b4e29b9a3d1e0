#include "tests/support/request_load.h"

#include "absl/strings/str_cat.h"

#include "executor/drivers/http_client.h"

namespace slipway::testing {

RequestLoad::RequestLoad(const std::string& address, uint32_t port, int threads,
                         const std::string& path) {
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this, address, port, path] { Run(address, port, path); });
}

void RequestLoad::Stop() {
  stop_.store(true);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void RequestLoad::Run(const std::string& address, uint32_t port, const std::string& path) {
  while (!stop_.load()) {
    executor::HttpRequest request;
    request.endpoint.address = address;
    request.endpoint.port = port;
    request.path = path;
    const auto response = executor::SendHttp(request);
    ++sent_;
    MutexLock lock(mutex_);
    if (!response.ok()) {
      ++failures_[response.status().ToString()];
    } else if (response->status != 200) {
      ++failures_[absl::StrCat("status ", response->status)];
    } else {
      ++bodies_[response->body];
    }
  }
}

std::map<std::string, int> RequestLoad::failures() {
  MutexLock lock(mutex_);
  return failures_;
}

std::map<std::string, int> RequestLoad::bodies() {
  MutexLock lock(mutex_);
  return bodies_;
}

}  // namespace slipway::testing
