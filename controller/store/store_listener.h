// Hears what other controllers on the same PostgreSQL database say: that a deployment has new events, that the leader has changed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "common/cancellation.h"
#include "controller/store/postgres.h"

namespace slipway::controller {

struct StoreChange {
  enum class Kind {
    // `app` and `deployment` say of which one.
    kEvents,
    kLeadership,
    // Something may have been missed: a connection was made just now.
    kEverything,
  };

  Kind kind = Kind::kEverything;
  std::string app;
  std::string deployment;
};

// A thread and a connection of its own, which is made again as often as it is lost. The callback runs in the thread, one at a time,
// and not after the destructor. It hears this process's own changes, too.
class StoreListener {
 public:
  StoreListener(PostgresOptions options, std::function<void(const StoreChange&)> callback);
  ~StoreListener();
  StoreListener(const StoreListener&) = delete;
  StoreListener& operator=(const StoreListener&) = delete;

 private:
  void Run();
  // Until the connection is lost or this is stopped.
  absl::Status Listen(int wake);

  const PostgresOptions options_;
  const std::function<void(const StoreChange&)> callback_;
  Cancellation stop_;
  std::thread thread_;
};

}  // namespace slipway::controller
