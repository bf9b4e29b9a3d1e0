// The deploy of a static site; static_site.cc reads from top to bottom as what happens on a host.
#pragma once

#include <vector>

#include "controller/rollout/step.h"

namespace slipway::controller {

std::vector<StepDefinition> StaticSite();

}  // namespace slipway::controller
