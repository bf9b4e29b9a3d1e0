// Questions about a deployment's stored state. Pure: no I/O, no clock.
#pragma once

#include <chrono>
#include <optional>

#include "absl/strings/string_view.h"

#include "common/protos.h"
#include "controller/store/records.h"

namespace slipway::controller {

// Null when the host has no such step yet.
const StepRecord* FindStep(const RolloutRecord& rollout, absl::string_view name);
StepRecord* FindStep(RolloutRecord& rollout, absl::string_view name);

// Empty before the preflight.
pb::PreflightEvidence PreflightOf(const RolloutRecord& rollout);

// The slot that served before on this host; unspecified when nothing did. An adopted older version counts as the slot that
// is not the candidate: the executor knows which port stands behind it.
pb::Slot PreviousSlot(const RolloutRecord& rollout);

// The new release was proven to be loaded on this host, and was not switched away from since.
bool Serves(const RolloutRecord& rollout);

// A rollback to a release that still runs in the other slot of this host.
bool IsWarmRollback(const DeploymentRecord& deployment, const RolloutRecord& rollout);

// Nobody knows what this host serves, it could not be brought back, or the last look at it failed.
bool IsStuck(const RolloutRecord& rollout);

// At the end of a deployment: this host does not serve the new release, or it is not known whether it does.
bool StaysBehind(const RolloutRecord& rollout);

// The host has refused our epoch: somebody else decides there now.
bool IsFenced(const RolloutRecord& rollout);

// A switch was sent to some host.
bool SwitchBegun(const DeploymentRecord& deployment);

// When the last switch of the last host was proven, back or forth; nothing when none was sent.
std::optional<Time> ProvenTime(const DeploymentRecord& deployment);

// How long the better release took to serve: when somebody asked for a rollback, from then to ProvenTime(); when a
// deployment was rolled back, from its first switch to ProvenTime(). Nothing for others.
std::optional<std::chrono::nanoseconds> TimeToRestore(const DeploymentRecord& deployment);

// As the API shows it.
pb::Step StepMessage(const StepRecord& step);

// Why a cancel cannot be granted any more; empty while it can.
std::string CancelTooLate(const DeploymentRecord& deployment);

}  // namespace slipway::controller
