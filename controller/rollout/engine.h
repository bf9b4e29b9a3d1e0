// Runs deployments: intend, act, probe, record. What the decider wants is stored before it is dispatched, and what a host
// answers is stored before the next thing is decided.
//
// One thread per running deployment decides, and one more for each step that is under way on a host waits for it; what has come
// back meanwhile is stored in one go. Killed at any instant, the next engine's Resume() goes on: a step that was dispatched
// without a recorded answer is sent again under the same operation id, and the executor, which probes and remembers, attaches
// to it or repeats its answer.
//
// A run whose threads cannot be started is tried again until they can. Deployments that hold their lease in the store and do not run,
// for whatever reason, are found and started as well (EngineTimes::sweep).
//
// A host that cannot be reached is tried again, 50 ms after the first time and at most every 2 s, until the step's deadline.
// A store that cannot write holds a deployment where it is until it can.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/fleet/executor_client.h"
#include "controller/rollout/decide.h"
#include "controller/rollout/event_hub.h"
#include "controller/store/store.h"

namespace slipway::controller {

struct EngineParts {
  // Null for a host that is not configured.
  std::function<std::shared_ptr<ExecutorClient>(const std::string& host)> host;
  // The env file of a revision, in the clear; it is put into the stage command and nowhere else.
  std::function<absl::StatusOr<std::string>(const std::string& app, uint64_t revision)> environment;
  // What its compose file may do; null for nothing.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& app)> allowances;
  // Of this controller, see executor.proto; null for one that is alone.
  std::function<uint64_t()> lead;
  // For metrics; may be null.
  std::function<void(const DeploymentRecord&, const std::string& host, const StepRecord&)>
      step_ended;
  std::function<void(const DeploymentRecord&)> deployment_ended;
  std::function<void(const DeploymentRecord&)> progressed;
  // Lets the deployment of this application begin that waits, if there is one: called when one has ended, again until it answers
  // OK. May be null.
  std::function<absl::Status(const std::string& app)> start_next;
};

struct EngineTimes {
  std::chrono::nanoseconds first_pause = std::chrono::milliseconds(50);
  std::chrono::nanoseconds longest_pause = std::chrono::seconds(2);
  // Between two looks at the store for deployments that ought to run.
  std::chrono::nanoseconds sweep = std::chrono::seconds(30);
  // Replaces every step's deadline when set; for tests.
  std::chrono::nanoseconds deadline{0};
};

class Engine {
 public:
  Engine(Store& store, EventHub& hub, Clock& clock, EngineParts parts, EngineTimes times = {});
  // Stops without waiting for hosts: running deployments stay in the store as they are. The caller shuts the executor
  // clients down first, so that calls under way return.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Takes up everything in the store that has not ended, now and at each sweep; answers how many.
  absl::StatusOr<int> Resume();
  // Runs a deployment that the store holds, as soon as there are threads for it; nothing happens when it runs already. Never fails.
  void Start(const std::string& app, const std::string& id);
  // After the store has taken the request: hosts are asked to stop what may be stopped.
  void Cancel(const std::string& app, const std::string& id);
  // Tells watchers and figures of the end of a deployment that never ran.
  void NeverRan(const std::string& app, const std::string& id);
  // After the store has taken the request: a paused deployment goes on.
  void Release(const std::string& app, const std::string& id);
  // No run is interrupted, and none will go on: call it before the clients are shut down.
  void Stop();
  // After Stop(): until nothing runs any more, and nothing of `parts` is called.
  void Wait();

 private:
  class Run;
  using Key = std::pair<std::string, std::string>;

  // Takes out the runs that have ended; the caller destroys them without the lock.
  std::vector<std::unique_ptr<Run>> Reap() SLIPWAY_REQUIRES(mutex_);
  // False when there are no threads for it.
  bool TryStart(const Key& key) SLIPWAY_REQUIRES(mutex_);
  // The supervisor's thread: starts what could not be started, and what the store says ought to run.
  void Supervise();
  void StartWaiting();
  void Sweep();

  Store& store_;
  EventHub& hub_;
  Clock& clock_;
  const EngineParts parts_;
  const EngineTimes times_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  // This engine is the one that runs deployments: it was told to resume them.
  bool resumed_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::map<Key, std::unique_ptr<Run>> runs_ SLIPWAY_GUARDED_BY(mutex_);
  // Those without threads.
  std::set<Key> waiting_ SLIPWAY_GUARDED_BY(mutex_);
  std::thread supervisor_;
};

}  // namespace slipway::controller
