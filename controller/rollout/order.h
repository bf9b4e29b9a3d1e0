// In which order a fleet goes: which steps all hosts leave together, and which hosts are switched together. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "controller/rollout/step.h"

namespace slipway::controller {

// Uploads, builds, starts and questions on many hosts would only slow each other: so many at a time, where nobody visits.
inline constexpr size_t kHostsAtATime = 64;

// For each definition the number of its group, from 0 upwards: one phase is a group, and within it each hook.
std::vector<size_t> GroupsOf(const std::vector<StepDefinition>& definitions);

// For each host the number of its wave: the canary hosts are in wave 0, the others follow in batches, in the deployment's order.
std::vector<size_t> WavesOf(const pb::RolloutSpec& spec, const DeploymentRecord& deployment);

}  // namespace slipway::controller
