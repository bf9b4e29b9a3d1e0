// The steps of a deployment, by the kind of application.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/rollout/step.h"

namespace slipway::controller {

// Raise it when steps come, go or change their order, and keep the old list for deployments that began with it.
inline constexpr uint32_t kPlanVersion = 1;

std::vector<StepDefinition> RolloutSteps(const pb::ApplicationSpec& spec);

// Every name a step or its undo may have, hooks as `hook`: for the failpoints' list.
std::vector<std::string> StepWords();

}  // namespace slipway::controller
