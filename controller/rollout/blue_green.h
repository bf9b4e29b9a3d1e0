// THE deploy. blue_green.cc reads from top to bottom as what happens on a host.
#pragma once

#include <vector>

#include "controller/rollout/step.h"

namespace slipway::controller {

std::vector<StepDefinition> BlueGreen(const pb::ApplicationSpec& spec);

}  // namespace slipway::controller
