// One running deployment: its thread, the steps that are under way on hosts, and what interrupts them. Internal to the engine.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "controller/rollout/crew.h"
#include "controller/rollout/engine.h"

namespace slipway::controller {

class Engine::Run {
 public:
  Run(Engine& engine, std::string app, std::string id)
      : engine_(engine), app_(std::move(app)), id_(std::move(id)) {}
  // Joins the threads.
  ~Run();

  // Starts the threads that a run cannot do without. RESOURCE_EXHAUSTED (reason NO_THREADS), and nothing runs.
  absl::Status Begin();
  void Stop();
  // A person wants it cancelled, or lets it go on.
  void Cancel();
  void Release();
  bool Done();

 private:
  // A step on its way to a host and back.
  struct Action {
    Dispatch dispatch;
    std::string host;
    std::string step;
    // Guarded by the run's mutex. `hurried`: a pause between two attempts was cut short for the stop, once.
    bool stop = false;
    bool hurried = false;
    bool ended = false;
  };

  void Main();
  // Nothing when the engine stops.
  std::optional<DeploymentRecord> Load();
  absl::StatusOr<RolloutContext> LoadContext(const DeploymentRecord& state);
  // False when the engine stops, or the deployment is not ours any more.
  bool Record(Transition transition);
  void Send(Dispatch dispatch, const DeploymentRecord& state);
  void Tell(const DeploymentRecord& state, const std::vector<RolloutInput>& inputs);
  void LetNextBegin();
  // Until there is something new; false when the engine stops.
  bool AwaitInputs(std::vector<RolloutInput>& inputs, Moment& moment);

  // On the crew's threads.
  void Act(Action& action);
  absl::StatusOr<xpb::StepResult> Attempts(Action& action, xpb::ExecuteRequest& request);
  absl::StatusOr<xpb::StepResult> Attempt(const xpb::ExecuteRequest& request,
                                          const std::string& host, class LogBuffer& log);
  absl::Status AddEnvironment(xpb::ExecuteRequest& request);
  // Lets the host's own executor know, again until it does or the step has ended.
  void TellHostToStop(Action& action);

  // True when the engine stops. What is asked meanwhile of the action, or of the deployment, ends the pause as well, once.
  bool Pause(std::chrono::nanoseconds time, Action* action);
  bool Stopping();
  std::chrono::nanoseconds TimeoutOf(const Dispatch& dispatch) const;

  Engine& engine_;
  const std::string app_;
  const std::string id_;
  RolloutContext context_;
  uint64_t environment_revision_ = 0;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool cancelled_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool released_ SLIPWAY_GUARDED_BY(mutex_) = false;
  // A wish that the decider was not told of yet.
  bool asked_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool done_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::vector<RolloutInput> ended_ SLIPWAY_GUARDED_BY(mutex_);
  // By host.
  std::map<size_t, std::shared_ptr<Action>> actions_ SLIPWAY_GUARDED_BY(mutex_);
  std::unique_ptr<Crew> crew_ = std::make_unique<Crew>();
  std::thread thread_;
};

}  // namespace slipway::controller
