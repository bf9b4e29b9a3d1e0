#include "controller/api/preview.h"

#include <map>

#include "common/adopted_release.h"
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
  // Nobody knows what the version that was taken over is made of.
  if (release.id == kAdoptedRelease || serving == kAdoptedRelease) return absl::OkStatus();
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
  return Compose(release, spec, wish.kind, wish.skip_offline);
}

absl::StatusOr<pb::Plan> Preview::Of(const ReleaseDraft& draft, const pb::ApplicationSpec& spec,
                                     const HostLabels& known_hosts, bool skip_offline) {
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec full, applications_.Check(spec, known_hosts));
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, releases_.Preview(draft, full));
  return Compose(release, full, pb::DEPLOYMENT_KIND_DEPLOY, skip_offline);
}

absl::StatusOr<pb::HostPlan> Preview::Ask(const xpb::PlanRequest& request,
                                          const std::string& host) {
  const auto client = hosts_(host);
  if (client == nullptr) return absl::NotFoundError("the controller knows no such host");
  if (!request.manifest_digest().empty())
    SLIPWAY_RETURN_IF_ERROR(client->SendRelease(request.manifest_digest()));
  return client->Plan(request);
}

void Preview::AskHosts(const xpb::PlanRequest& request, bool skip_offline, pb::Plan& plan) {
  const auto leave_out = [&plan](const std::string& host, pb::LeftOutReason reason) {
    pb::LeftOutHost& left_out = *plan.add_left_out();
    left_out.set_host(host);
    left_out.set_reason(reason);
  };
  std::vector<std::string> hosts;
  for (const Target& target : admission_.Targets(request.spec())) {
    if (target.cordoned) {
      leave_out(target.host, pb::LEFT_OUT_REASON_CORDONED);
    } else {
      hosts.push_back(target.host);
    }
  }
  std::vector<absl::StatusOr<pb::HostPlan>> answers(hosts.size(), absl::UnknownError(""));
  InParallel(hosts.size(), kHostsAtATime, [&](size_t i) { answers[i] = Ask(request, hosts[i]); });
  for (size_t i = 0; i < hosts.size(); ++i) {
    const bool silent =
        absl::IsUnavailable(answers[i].status()) || absl::IsDeadlineExceeded(answers[i].status());
    if (silent && skip_offline) {
      leave_out(hosts[i], pb::LEFT_OUT_REASON_OFFLINE);
      continue;
    }
    pb::HostPlan& entry = *plan.add_hosts();
    if (answers[i].ok()) {
      entry = *answers[i];
    } else {
      entry.add_problems(std::string(answers[i].status().message()));
    }
    entry.set_host(hosts[i]);
  }
}

absl::StatusOr<pb::Plan> Preview::Compose(const ReleaseRecord& release,
                                          const pb::ApplicationSpec& spec, pb::DeploymentKind kind,
                                          bool skip_offline) {
  pb::Plan plan;
  plan.set_release(ReleaseName(release.app, release.id));
  xpb::PlanRequest request;
  request.set_release(release.id);
  *request.mutable_spec() = spec;
  if (release.id != kAdoptedRelease) request.set_manifest_digest(release.manifest_digest);
  SLIPWAY_ASSIGN_OR_RETURN(
      *request.mutable_env_file(),
      applications_.EnvironmentText(release.app, release.environment_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const auto allowances, applications_.Allowances(release.app));
  request.mutable_allowances()->Add(allowances.begin(), allowances.end());
  AskHosts(request, skip_offline, plan);
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
