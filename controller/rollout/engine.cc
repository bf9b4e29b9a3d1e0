#include "controller/rollout/engine.h"

#include <algorithm>
#include <vector>

#include "common/logging.h"
#include "common/status.h"
#include "controller/rollout/run.h"

namespace slipway::controller {

Engine::Engine(Store& store, EventHub& hub, Clock& clock, EngineParts parts, EngineTimes times)
    : store_(store),
      hub_(hub),
      clock_(clock),
      parts_(std::move(parts)),
      times_(times),
      supervisor_([this] { Supervise(); }) {}

Engine::~Engine() {
  Stop();
  Wait();
}

void Engine::Wait() {
  if (supervisor_.joinable()) supervisor_.join();
  std::map<Key, std::unique_ptr<Run>> runs;
  {
    MutexLock lock(mutex_);
    runs.swap(runs_);
  }
}

void Engine::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.NotifyAll();
  for (auto& [key, run] : runs_) run->Stop();
}

absl::StatusOr<int> Engine::Resume() {
  {
    MutexLock lock(mutex_);
    resumed_ = true;
  }
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
  if (!TryStart({app, id})) changed_.NotifyAll();
}

bool Engine::TryStart(const Key& key) {
  if (stopping_ || runs_.contains(key)) return true;
  auto run = std::make_unique<Run>(*this, key.first, key.second);
  const absl::Status begun = run->Begin();
  if (begun.ok()) {
    waiting_.erase(key);
    runs_[key] = std::move(run);
    return true;
  }
  if (waiting_.insert(key).second) {
    LogError("a deployment waits for threads",
             {{"app", key.first}, {"deployment", key.second}, {"problem", MessageWithCure(begun)}});
  }
  return false;
}

void Engine::StartWaiting() {
  MutexLock lock(mutex_);
  const std::set<Key> waiting = waiting_;
  for (const Key& key : waiting) TryStart(key);
}

void Engine::Sweep() {
  const auto running = store_.ListRunning();
  // The store logs its own failures, and is asked again.
  if (!running.ok()) return;
  std::vector<std::unique_ptr<Run>> ended;
  MutexLock lock(mutex_);
  ended = Reap();
  for (const Key& key : *running) {
    if (stopping_ || runs_.contains(key) || waiting_.contains(key)) continue;
    LogWarning("a deployment holds its lease and did not run",
               {{"app", key.first}, {"deployment", key.second}});
    TryStart(key);
  }
}

void Engine::Supervise() {
  auto pause = times_.first_pause;
  auto sweep = std::chrono::steady_clock::now() + times_.sweep;
  while (true) {
    bool due = false;
    {
      MutexLock lock(mutex_);
      const auto now = std::chrono::steady_clock::now();
      auto next = sweep;
      if (!waiting_.empty()) next = std::min(sweep, now + pause);
      if (!stopping_) changed_.WaitUntil(mutex_, next);
      if (stopping_) return;
      due = std::chrono::steady_clock::now() >= sweep && resumed_;
      pause = waiting_.empty() ? times_.first_pause : std::min(pause * 2, times_.longest_pause);
    }
    StartWaiting();
    if (std::chrono::steady_clock::now() < sweep) continue;
    sweep = std::chrono::steady_clock::now() + times_.sweep;
    if (due) Sweep();
  }
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
