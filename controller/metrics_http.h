// GET /metrics and GET /healthz by HTTP, on a TCP address or a unix socket, on threads of its own.
//
// With a token file, /metrics is for those alone who send its content as `Authorization: Bearer TOKEN`; everybody else gets
// 401. The file is read with every request, so that a token is changed by writing the file. A file that is absent, empty or
// open to others lets nobody in. /healthz is for everybody.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace slipway::controller {

struct MetricsHttpOptions {
  // HOST:PORT, where port 0 takes a free one, or unix:///SOCKET, which its user and group may open.
  std::string address;
  // Empty: whoever reaches the address may read.
  std::filesystem::path token_file;
  std::function<std::string()> page;
  // Told why a request for the page was not answered; may be null.
  std::function<void(const std::string& reason)> refused;
};

class MetricsHttp {
 public:
  // UNAVAILABLE (reason CANNOT_LISTEN) when the address is taken; FAILED_PRECONDITION (reason BAD_TOKEN_FILE) when the token
  // file lets nobody in.
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(MetricsHttpOptions options);
  ~MetricsHttp();
  // 0 for a unix socket.
  int Port() const;

 private:
  struct Impl;
  explicit MetricsHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::controller
