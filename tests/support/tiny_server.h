// A tiny HTTP server on a loopback port: the application of the tests. One thread per connection,
// keep-alive.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <sys/types.h>
#include <thread>

#include "common/file.h"
#include "common/mutex.h"

namespace slipway::testing {

class TinyServer {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    std::string headers;
    // When set, sent as it is in place of the above; then the connection ends.
    std::string raw;
    // A byte of `raw` every five milliseconds.
    bool drip = false;
  };
  using Handler = std::function<Answer(const std::string& request_line_and_head)>;

  // Port 0: any free one. With a path, on a unix socket. Aborts the test program when it cannot
  // listen.
  TinyServer(const std::string& address, uint16_t port, Handler handler);
  TinyServer(const std::string& unix_socket, Handler handler);
  ~TinyServer();

  uint16_t port() const { return port_; }
  int requests() const { return requests_.load(); }

 private:
  void Accept();
  void Serve(int fd);

  UniqueFd listener_;
  uint16_t port_ = 0;
  Handler handler_;
  std::atomic<int> requests_{0};
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  std::list<int> open_ SLIPWAY_GUARDED_BY(mutex_);
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace slipway::testing
