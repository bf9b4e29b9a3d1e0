// Tells watchers that a deployment has new events. It carries no events: watchers pull those from the Store by sequence
// number, so a slow one needs no queue and holds nobody up.
//
// One thread of its own calls the callbacks; Publish() only leaves a note for it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/mutex.h"

namespace slipway::controller {

class EventHub {
 public:
  EventHub();
  // All subscriptions must be gone.
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  void Publish(const std::string& app, const std::string& deployment);
  // Something may have been missed of every deployment.
  void PublishAll();

  // The callback must return soon. It may unsubscribe any subscription, its own as the last thing that it does.
  uint64_t Subscribe(const std::string& app, const std::string& deployment,
                     std::function<void()> callback);
  // When it returns, the callback does not run and never will.
  void Unsubscribe(uint64_t subscription);

 private:
  using Key = std::pair<std::string, std::string>;
  void Run();

  // Held while callbacks run; taken before mutex_.
  Mutex calling_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::set<Key> dirty_ SLIPWAY_GUARDED_BY(mutex_);
  std::map<uint64_t, std::pair<Key, std::function<void()>>> subscribers_ SLIPWAY_GUARDED_BY(mutex_);
  uint64_t next_ SLIPWAY_GUARDED_BY(mutex_) = 1;
  std::thread thread_;
};

}  // namespace slipway::controller
