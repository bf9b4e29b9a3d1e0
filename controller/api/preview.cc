#include "controller/api/preview.h"

#include <map>

#include "common/manifest.h"
#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"
#include "controller/rollout/crew.h"
#include "controller/rollout/order.h"
#include "controller/rollout/rollout_steps.h"

namespace slipway::controller {
namespace {

// The steps that would run where the host's plan says what is there now.
void AddSteps(const pb::ApplicationSpec& spec, pb::DeploymentKind kind, const pb::HostPlan& host,
              pb::Plan& plan) {
  RolloutContext context;
  context.spec = spec;
  DeploymentRecord deployment;
  deployment.kind = kind;
  RolloutRecord rollout;
  rollout.slot = host.to();
  StepRecord preflight;
  preflight.name = "preflight";
  preflight.evidence.mutable_preflight()->set_active_slot(host.from());
  preflight.evidence.mutable_preflight()->set_candidate_slot(host.to());
  rollout.steps.push_back(preflight);
  for (const StepDefinition& step : RolloutSteps(spec)) {
    if (!step.wanted || step.wanted({context, deployment, rollout})) plan.add_steps(step.name);
  }
}

}  // namespace

absl::Status Preview::CompareWithServing(const ReleaseRecord& release, const std::string& serving,
                                         pb::Plan& plan) {
  const auto before = store_.GetRelease(release.app, serving);
  pb::Manifest old_files;
  std::map<std::string, std::string> old_environment;
  if (before.ok()) {
    const auto manifest = releases_.ManifestOf(*before);
    if (manifest.ok()) old_files = *manifest;
    SLIPWAY_ASSIGN_OR_RETURN(old_environment,
                             applications_.Environment(before->app, before->environment_revision));
  }
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest files, releases_.ManifestOf(release));
  uint32_t unchanged = 0;
  for (const pb::FileChange& change : CompareManifests(old_files, files, &unchanged)) {
    *plan.add_files() = change;
  }
  plan.set_files_unchanged(unchanged);
  SLIPWAY_ASSIGN_OR_RETURN(const auto environment,
                           applications_.Environment(release.app, release.environment_revision));
  for (const auto& [name, value] : environment) {
    const auto found = old_environment.find(name);
    if (found == old_environment.end()) {
      plan.add_environment_added(name);
    } else if (found->second != value) {
      plan.add_environment_changed(name);
    }
  }
  for (const auto& [name, value] : old_environment) {
    if (!environment.contains(name)) plan.add_environment_removed(name);
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::Plan> Preview::Of(const Wish& wish) {
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, admission_.ReleaseFor(wish));
  SLIPWAY_ASSIGN_OR_RETURN(pb::ApplicationSpec spec,
                           store_.GetSpec(wish.app, release.spec_revision));
  ApplyDefaults(spec);
  return Compose(release, spec, wish.kind);
}

absl::StatusOr<pb::Plan> Preview::Of(const ReleaseDraft& draft, const pb::ApplicationSpec& spec,
                                     const std::vector<std::string>& known_hosts) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec full, applications_.Check(spec, known_hosts));
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, releases_.Preview(draft, full));
  return Compose(release, full, pb::DEPLOYMENT_KIND_DEPLOY);
}

void Preview::Ask(const xpb::PlanRequest& request, pb::HostPlan& entry) {
  const std::string host = entry.host();
  const auto client = hosts_(host);
  absl::StatusOr<pb::HostPlan> answer = absl::NotFoundError("the controller knows no such host");
  if (client != nullptr) {
    const absl::Status sent = client->SendRelease(request.manifest_digest());
    answer = sent.ok() ? client->Plan(request) : sent;
  }
  if (answer.ok()) {
    entry = *answer;
  } else {
    entry.add_problems(std::string(answer.status().message()));
  }
  entry.set_host(host);
}

absl::StatusOr<pb::Plan> Preview::Compose(const ReleaseRecord& release,
                                          const pb::ApplicationSpec& spec,
                                          pb::DeploymentKind kind) {
  pb::Plan plan;
  plan.set_release(ReleaseName(release.app, release.id));
  xpb::PlanRequest request;
  request.set_release(release.id);
  *request.mutable_spec() = spec;
  request.set_manifest_digest(release.manifest_digest);
  SLIPWAY_ASSIGN_OR_RETURN(
      *request.mutable_env_file(),
      applications_.EnvironmentText(release.app, release.environment_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const auto allowances, applications_.Allowances(release.app));
  request.mutable_allowances()->Add(allowances.begin(), allowances.end());
  for (const std::string& host : spec.hosts()) plan.add_hosts()->set_host(host);
  InParallel(static_cast<size_t>(plan.hosts_size()), kHostsAtATime,
             [&](size_t i) { Ask(request, *plan.mutable_hosts(static_cast<int>(i))); });
  std::string serving;
  for (const pb::HostPlan& host : plan.hosts()) {
    if (serving.empty()) serving = host.serving_release();
  }
  if (plan.hosts_size() > 0) {
    const pb::HostPlan first = plan.hosts(0);
    AddSteps(spec, kind, first, plan);
  }
  SLIPWAY_RETURN_IF_ERROR(CompareWithServing(release, serving, plan));
  return plan;
}

}  // namespace slipway::controller
