#include "controller/rollout/event_hub.h"

#include <vector>

namespace slipway::controller {

EventHub::EventHub() : thread_([this] { Run(); }) {}

EventHub::~EventHub() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void EventHub::Publish(const std::string& app, const std::string& deployment) {
  MutexLock lock(mutex_);
  if (subscribers_.empty()) return;
  dirty_.emplace(app, deployment);
  changed_.NotifyAll();
}

void EventHub::PublishAll() {
  MutexLock lock(mutex_);
  for (const auto& [id, subscriber] : subscribers_) dirty_.insert(subscriber.first);
  changed_.NotifyAll();
}

uint64_t EventHub::Subscribe(const std::string& app, const std::string& deployment,
                             std::function<void()> callback) {
  MutexLock lock(mutex_);
  subscribers_[next_] = {Key{app, deployment}, std::move(callback)};
  return next_++;
}

void EventHub::Unsubscribe(uint64_t subscription) {
  // From inside its own callback there is nobody to wait for.
  if (std::this_thread::get_id() == thread_.get_id()) {
    MutexLock lock(mutex_);
    subscribers_.erase(subscription);
    return;
  }
  MutexLock calling(calling_);
  MutexLock lock(mutex_);
  subscribers_.erase(subscription);
}

void EventHub::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && dirty_.empty()) changed_.Wait(mutex_);
      if (stopping_) return;
    }
    MutexLock calling(calling_);
    std::vector<uint64_t> told;
    {
      MutexLock lock(mutex_);
      for (const auto& [id, subscriber] : subscribers_) {
        if (dirty_.contains(subscriber.first)) told.push_back(id);
      }
      dirty_.clear();
    }
    for (const uint64_t id : told) {
      std::function<void()> callback;
      {
        MutexLock lock(mutex_);
        // A callback before this one may have ended others on this thread: gRPC completes calls of one connection wherever it is
        // called.
        const auto found = subscribers_.find(id);
        if (found == subscribers_.end()) continue;
        callback = found->second.second;
      }
      callback();
    }
  }
}

}  // namespace slipway::controller
