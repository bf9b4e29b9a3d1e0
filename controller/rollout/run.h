// One running deployment: its thread, and what interrupts it. Internal to the engine.
#pragma once

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "controller/rollout/engine.h"

namespace slipway::controller {

class Engine::Run {
 public:
  Run(Engine& engine, std::string app, std::string id);
  // Joins the thread.
  ~Run();

  void Stop();
  void Cancel();
  bool Done();

 private:
  void Main();
  absl::StatusOr<RolloutContext> LoadContext();
  // False when the engine stops, or the deployment is not ours any more.
  bool Record(const Transition& transition);
  // Nothing when the engine stops.
  std::optional<RolloutInput> Act(const Dispatch& dispatch);
  absl::StatusOr<xpb::StepResult> Attempt(const xpb::ExecuteRequest& request,
                                          const std::string& host, class LogBuffer& log);
  absl::Status AddEnvironment(xpb::ExecuteRequest& request);
  // Lets the host's own executor know, again until it does or the step has ended.
  void TellHostToStop();
  // True when the engine stops. A cancel ends the pause as well, once.
  bool Pause(std::chrono::nanoseconds time);
  bool Stopping();

  Engine& engine_;
  const std::string app_;
  const std::string id_;
  DeploymentRecord state_;
  RolloutContext context_;
  uint64_t environment_revision_ = 0;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool cancelled_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool cancel_seen_ SLIPWAY_GUARDED_BY(mutex_) = false;
  // What is under way and may be stopped; empty otherwise.
  std::string operation_ SLIPWAY_GUARDED_BY(mutex_);
  std::string operation_host_ SLIPWAY_GUARDED_BY(mutex_);
  bool done_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::thread canceller_;
  std::thread thread_;
};

}  // namespace slipway::controller
