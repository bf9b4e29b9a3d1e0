// A step of a rollout as data: its name is the journal's, the user's and the metric's word.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/protos.h"
#include "controller/store/records.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::controller {

// What stays the same during a deployment, and what commands are made of besides its state.
struct RolloutContext {
  // As it was when the release was made.
  pb::ApplicationSpec spec;
  std::string manifest_digest;
  // Releases that have served, newest first; prune keeps some of them.
  std::vector<std::string> served_releases;
};

struct Situation {
  const RolloutContext& context;
  const DeploymentRecord& deployment;
  const RolloutRecord& rollout;
};

// All hosts finish one phase, and before and after each hook what stands before it, before the first one goes on.
enum class Phase { kPrepare, kCommit, kFinish, kConfirm };

enum class OnFailure {
  // Undo what was done: on this host, and with more such hosts than may fail on every one.
  kUndo,
  // The new release serves and that is good: go on, and say so.
  kWarn,
  // The new release serves, but something that belongs to it does not work: go on, and end loudly.
  kAttention,
};

enum class UndoWhen {
  kNever,
  // It took effect.
  kDone,
  // It was begun, whatever came of it.
  kBegun,
};

using CommandBuilder = std::function<void(const Situation&, xpb::ExecuteRequest&)>;
using Condition = std::function<bool(const Situation&)>;

struct StepDefinition {
  std::string name;
  Phase phase = Phase::kPrepare;
  OnFailure on_failure = OnFailure::kUndo;
  std::chrono::nanoseconds timeout{};
  CommandBuilder command;
  // Without one it always runs. Decided when its turn comes, from stored state alone.
  Condition wanted = nullptr;
  UndoWhen undo_when = UndoWhen::kNever;
  CommandBuilder undo = nullptr;
  // On one host for the whole deployment; when it fails there, the deployment fails.
  bool once = false;
};

}  // namespace slipway::controller
