// Lines that a tool on a host writes, on their way to the store: one commit for many lines of a burst, at once for a line
// that comes alone. Executors send at most 2,000 lines of a step; of one that sends more 10,000 are kept.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controller/rollout/event_hub.h"
#include "controller/store/store.h"

namespace slipway::controller {

class LogBuffer {
 public:
  LogBuffer(Store& store, EventHub& hub, std::string app, std::string deployment, std::string host,
            std::string step);
  // One thread.
  void Add(const pb::LogLine& line);
  void Flush();

 private:
  Store& store_;
  EventHub& hub_;
  const std::string app_;
  const std::string deployment_;
  const std::string host_;
  const std::string step_;
  std::vector<pb::Event> waiting_;
  int lines_ = 0;
  std::chrono::steady_clock::time_point last_flush_{};
};

}  // namespace slipway::controller
