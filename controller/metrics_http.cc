#include "controller/metrics_http.h"

#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <httplib.h>

#include "common/status.h"

namespace slipway::controller {

struct MetricsHttp::Impl {
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

MetricsHttp::MetricsHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(const std::string& address,
                                                                std::function<std::string()> page) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
                 absl::StrCat("metrics_address: '", address, "' is not HOST:PORT"));
  }
  const std::string host = address.substr(0, colon);
  auto impl = std::make_unique<Impl>();
  // One scraper and one person looking: no more threads than that.
  impl->server.new_task_queue = [] { return new httplib::ThreadPool(2); };
  impl->server.Get("/metrics", [page](const httplib::Request&, httplib::Response& response) {
    response.set_content(page(), "text/plain; version=0.0.4; charset=utf-8");
  });
  impl->server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  const bool bound = port == 0 ? (impl->port = impl->server.bind_to_any_port(host.c_str())) > 0
                               : impl->server.bind_to_port(host.c_str(), port);
  if (!bound) {
    return Error(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                 absl::StrCat("cannot listen on ", address, " for metrics"),
                 "set metrics_address to a free one, or to `off`");
  }
  if (port != 0) impl->port = port;
  impl->thread = std::thread([raw = impl.get()] { raw->server.listen_after_bind(); });
  // This library has no event for it, and a stop before its loop has begun would be lost.
  while (!impl->server.is_running()) std::this_thread::yield();
  return std::unique_ptr<MetricsHttp>(new MetricsHttp(std::move(impl)));
}

MetricsHttp::~MetricsHttp() {
  impl_->server.stop();
  impl_->thread.join();
}

int MetricsHttp::Port() const { return impl_->port; }

}  // namespace slipway::controller
