// The controller of a walk: the real store on SQLite and the real admission. Nothing runs by itself:
// its engine is stopped, and what ought to run is taken from the store by the walk, which drives the
// decider as Engine::Run does, but one step after the other. It dies between any two writes and is
// opened again from its file.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/fleet/executor_client.h"
#include "controller/fleet/target.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/decide.h"
#include "controller/rollout/event_hub.h"
#include "controller/store/sql_store.h"
#include "tests/walk/walked_host.h"

namespace slipway::testing {

// A deployment under way: what Engine::Run keeps in memory.
struct ActiveRun {
  std::string app;
  std::string id;
  controller::RolloutContext context;
  std::unique_ptr<controller::Decider> decider;
  controller::Moment moment;
  // Sent, and not answered yet.
  std::vector<controller::Dispatch> pending;
  std::vector<controller::RolloutInput> inputs;
  int turns = 0;
};

class WalkedController {
 public:
  using HostLookup = std::function<WalkedHost*(const std::string& name)>;

  // `hosts` answers null for one that is not known or is away.
  WalkedController(std::filesystem::path folder, Clock& clock, HostLookup hosts,
                   controller::TargetLookup targets);
  ~WalkedController();

  controller::Store& store() { return *store_; }
  controller::Admission& admission() { return *admission_; }
  // It is dead, and the next one opens what it has written.
  void Restart();
  // A deployment as the store has it, ready to go on.
  std::unique_ptr<ActiveRun> TakeUp(const std::string& app, const std::string& id);
  // Everything that the store says ought to run.
  std::vector<std::unique_ptr<ActiveRun>> TakeUpAll();
  // What a host says of rollbacks on the spot.
  void Hear(WalkedHost& host);

 private:
  void Open();

  const std::filesystem::path file_;
  Clock& clock_;
  const HostLookup hosts_;
  const controller::TargetLookup targets_;
  std::unique_ptr<controller::SqlStore> store_;
  std::unique_ptr<controller::EventHub> hub_;
  std::unique_ptr<controller::Engine> engine_;
  std::unique_ptr<controller::Attendance> attendance_;
  std::unique_ptr<controller::Admission> admission_;
};

}  // namespace slipway::testing
