#include "controller/rollout/rollout_steps.h"

#include "controller/rollout/blue_green.h"
#include "controller/rollout/static_site.h"

namespace slipway::controller {

std::vector<StepDefinition> RolloutSteps(const pb::ApplicationSpec& spec) {
  return spec.has_site() ? StaticSite() : BlueGreen(spec);
}

// A site's are among these.
std::vector<std::string> StepWords() {
  return {"preflight", "stage",   "build",      "shared",     "start",  "health",
          "hook",      "switch",  "bake",       "drain",      "retire", "workers",
          "prune",     "confirm", "undo_start", "undo_switch"};
}

}  // namespace slipway::controller
