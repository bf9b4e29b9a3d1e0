// What the steps of every kind of rollout are made of: when each is wanted, and the command that it sends. All of it is decided
// from stored state alone, so that a command that is sent again says the same.
#pragma once

#include <chrono>
#include <string>

#include "controller/rollout/step.h"

namespace slipway::controller {

// The executor's own limit must strike first, for it can say why.
inline constexpr std::chrono::seconds kMargin{30};

namespace when {
bool NotWarm(const Situation& at);
bool SomethingServedBefore(const Situation& at);
// A warm rollback is done when it is proven: the slot that it leaves stays up, and lets what uses it finish before it is stopped.
bool NeedsDrain(const Situation& at);
// Going back must not run the old release's migrations.
bool IsDeploy(const Situation& at);
// Not when hosts catch up with what the others serve: what runs once for all of them has run.
bool IsNewEverywhere(const Situation& at);
bool HasWorkers(const Situation& at);
}  // namespace when

namespace command {
void Preflight(const Situation& at, xpb::ExecuteRequest& request);
// The engine adds the env file's bytes just before it sends this; they are in no state and no journal.
void Stage(const Situation& at, xpb::ExecuteRequest& request);
void Build(const Situation& at, xpb::ExecuteRequest& request);
void Shared(const Situation& at, xpb::ExecuteRequest& request);
void Start(const Situation& at, xpb::ExecuteRequest& request);
void RemoveCandidate(const Situation& at, xpb::ExecuteRequest& request);
void Health(const Situation& at, xpb::ExecuteRequest& request);
void Switch(const Situation& at, xpb::ExecuteRequest& request);
void SwitchBack(const Situation& at, xpb::ExecuteRequest& request);
void Bake(const Situation& at, xpb::ExecuteRequest& request);
void Drain(const Situation& at, xpb::ExecuteRequest& request);
void Retire(const Situation& at, xpb::ExecuteRequest& request);
void Workers(const Situation& at, xpb::ExecuteRequest& request);
void Prune(const Situation& at, xpb::ExecuteRequest& request);
void Confirm(const Situation& at, xpb::ExecuteRequest& request);
CommandBuilder RunHook(const std::string& name);
}  // namespace command

}  // namespace slipway::controller
