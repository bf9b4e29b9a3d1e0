#include "controller/rollout/order.h"

#include "absl/strings/match.h"

#include "common/spec.h"

namespace slipway::controller {
namespace {

bool IsHook(const StepDefinition& step) { return absl::StartsWith(step.name, "hook:"); }

}  // namespace

std::vector<size_t> GroupsOf(const std::vector<StepDefinition>& definitions) {
  std::vector<size_t> groups;
  for (size_t i = 0; i < definitions.size(); ++i) {
    const bool same = i > 0 && definitions[i].phase == definitions[i - 1].phase &&
                      !IsHook(definitions[i]) && !IsHook(definitions[i - 1]);
    groups.push_back(i == 0 ? 0 : groups.back() + (same ? 0 : 1));
  }
  return groups;
}

std::vector<size_t> WavesOf(const pb::RolloutSpec& spec, const DeploymentRecord& deployment) {
  const size_t batch = BatchSize(spec, deployment.rollouts.size());
  std::vector<size_t> waves;
  for (size_t i = 0; i < deployment.rollouts.size(); ++i) {
    waves.push_back(i < deployment.canaries ? 0 : 1 + (i - deployment.canaries) / batch);
  }
  return waves;
}

}  // namespace slipway::controller
