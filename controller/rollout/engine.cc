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
  MutexLock lock(mutex_);
  Reap();
  if (stopping_ || runs_.contains({app, id})) return;
  runs_[{app, id}] = std::make_unique<Run>(*this, app, id);
}

void Engine::Cancel(const std::string& app, const std::string& id) {
  MutexLock lock(mutex_);
  const auto found = runs_.find({app, id});
  if (found != runs_.end()) found->second->Cancel();
}

// Threads that have ended are joined here: at the next start at the latest, which costs no waiting.
void Engine::Reap() {
  std::erase_if(runs_, [](const auto& entry) { return entry.second->Done(); });
}

}  // namespace slipway::controller
