// GET /metrics and GET /healthz on an HTTP address, on a thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace slipway::controller {

class MetricsHttp {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE (reason CANNOT_LISTEN) when it is taken.
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(const std::string& address,
                                                            std::function<std::string()> page);
  ~MetricsHttp();
  int Port() const;

 private:
  struct Impl;
  explicit MetricsHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::controller
