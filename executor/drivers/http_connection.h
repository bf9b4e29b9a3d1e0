// One connected socket, plain or TLS, every wait on it bounded by a deadline and by a cancellation.
// Used by http_client.cc.
#pragma once

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"
#include "common/file.h"
#include "executor/drivers/http_client.h"

typedef struct ssl_st SSL;

namespace slipway::executor {

class HttpConnection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  explicit HttpConnection(Cancellation* cancellation);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Statuses as in http_client.h.
  absl::Status Open(const HttpEndpoint& endpoint, Deadline deadline);
  absl::Status Write(absl::string_view bytes, Deadline deadline);
  // At least one byte; 0 at the end of the stream.
  absl::StatusOr<size_t> Read(char* buffer, size_t size, Deadline deadline);

 private:
  absl::Status Connect(const HttpEndpoint& endpoint, Deadline deadline);
  absl::Status StartTls(const std::string& server_name, Deadline deadline);
  absl::Status WaitFor(short events, Deadline deadline);
  // What to wait for before an SSL call is repeated; an error when it failed for good.
  absl::StatusOr<short> AfterSsl(int result, absl::string_view what);

  UniqueFd socket_;
  UniqueFd cancel_event_;
  CancellationHook hook_;
  SSL* ssl_ = nullptr;
};

}  // namespace slipway::executor
