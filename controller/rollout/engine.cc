#include "controller/rollout/engine.h"

#include <vector>

#include "common/logging.h"
#include "common/status.h"
#include "controller/rollout/run.h"

namespace slipway::controller {

Engine::Engine(Store& store, EventHub& hub, Clock& clock, EngineParts parts, EngineTimes times)
    : store_(store), hub_(hub), clock_(clock), parts_(std::move(parts)), times_(times) {}

Engine::~Engine() {
  Stop();
  Wait();
}

void Engine::Wait() {
  std::map<Key, std::unique_ptr<Run>> runs;
  {
    MutexLock lock(mutex_);
    runs.swap(runs_);
  }
}

void Engine::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (auto& [key, run] : runs_) run->Stop();
}

absl::StatusOr<int> Engine::Resume() {
  SLIPWAY_ASSIGN_OR_RETURN(const auto running, store_.ListRunning());
  for (const auto& [app, id] : running) {
    LogInfo("resuming a deployment", {{"app", app}, {"deployment", id}});
    Start(app, id);
  }
  return static_cast<int>(running.size());
}

void Engine::Start(const std::string& app, const std::string& id) {
  std::vector<std::unique_ptr<Run>> ended;
  MutexLock lock(mutex_);
  ended = Reap();
  if (stopping_ || runs_.contains({app, id})) return;
  runs_[{app, id}] = std::make_unique<Run>(*this, app, id);
}

void Engine::NeverRan(const std::string& app, const std::string& id) {
  const auto ended = store_.GetDeployment(app, id);
  if (ended.ok() && parts_.deployment_ended) parts_.deployment_ended(*ended);
  hub_.Publish(app, id);
}

void Engine::Cancel(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  const auto found = runs_.find({app, id});
  if (found != runs_.end()) found->second->Cancel();
}

void Engine::Release(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  const auto found = runs_.find({app, id});
  if (found != runs_.end()) found->second->Release();
}

// Threads that have ended are joined at the next start at the latest, which costs no waiting.
std::vector<std::unique_ptr<Engine::Run>> Engine::Reap() {
  std::vector<std::unique_ptr<Run>> ended;
  for (auto one = runs_.begin(); one != runs_.end();) {
    if (one->second->Done()) {
      ended.push_back(std::move(one->second));
      one = runs_.erase(one);
    } else {
      ++one;
    }
  }
  return ended;
}

}  // namespace slipway::controller
