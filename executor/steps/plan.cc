// What a deployment would do on this host, found out without changing anything that runs.
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/steps/line_diff.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::minutes kPrepareTime{1};

}  // namespace

// Prepared in a folder of its own, as staging would: what the compose file says is known only then.
absl::Status Steps::PlanServices(const xpb::PlanRequest& request, pb::HostPlan& plan) {
  const std::string& app = request.spec().app();
  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest,
                           parts_.releases.ReadManifest(request.manifest_digest()));
  const StagedRelease planned{app,
                              parts_.releases.ScratchId(),
                              request.spec(),
                              {request.allowances().begin(), request.allowances().end()},
                              /*planned=*/true};
  const absl::Cleanup remove = [&] { parts_.releases.Remove(app, planned.release).IgnoreError(); };
  SLIPWAY_RETURN_IF_ERROR(parts_.releases.Unpack(app, planned.release, manifest));
  SLIPWAY_RETURN_IF_ERROR(
      parts_.workload.Prepare(planned, manifest, request.env_file(),
                              {parts_.clock.Now() + kPrepareTime, nullptr, nullptr}));
  return parts_.workload.PlanServices(planned, plan);
}

pb::HostPlan Steps::PlanSite(const xpb::PlanRequest& request) {
  const pb::ApplicationSpec& spec = request.spec();
  pb::HostPlan plan;
  plan.set_free_bytes(FreeBytes(parts_.paths.State()));
  plan.set_from(parts_.site.Serving(spec.app()));
  plan.set_to(plan.from() == pb::SLOT_UNSPECIFIED ? pb::SLOT_BLUE : OtherSlot(plan.from()));
  if (const auto serving = parts_.site.Observe(spec.app(), plan.from(), nullptr);
      serving.ok() && !serving->containers.empty()) {
    plan.set_serving_release(serving->containers.front().release);
  }
  std::vector<absl::Status> found = {parts_.site.Preflight(spec)};
  if (!request.manifest_digest().empty()) {
    const auto manifest = parts_.releases.ReadManifest(request.manifest_digest());
    found.push_back(manifest.ok() ? parts_.site.Prepare({spec.app(), "", spec}, *manifest, "", {})
                                  : manifest.status());
  }
  for (const absl::Status& status : found) {
    if (!status.ok()) plan.add_problems(MessageWithCure(status));
  }
  return plan;
}

pb::HostPlan Steps::Plan(const xpb::PlanRequest& request) {
  if (request.spec().has_site()) return PlanSite(request);
  const pb::ApplicationSpec& spec = request.spec();
  pb::HostPlan plan;
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(spec.app());
  const auto problem = [&plan](const absl::Status& status) {
    plan.add_problems(MessageWithCure(status));
  };
  if (absl::Status status = ChooseProofPorts(spec, facts); !status.ok()) problem(status);
  plan.set_free_bytes(FreeBytes(parts_.paths.State()));
  plan.set_nginx_file(spec.nginx().file());
  NginxSite site = SiteOf(spec, facts);
  const auto found = parts_.nginx.Preflight(site);
  if (!found.ok()) {
    problem(found.status());
    return plan;
  }
  if (found->waits_for_first_file) {
    plan.add_notes(absl::StrCat("nginx cannot reload before ", site.file.string(),
                                " exists; `slipway apply` writes it, answering 503, and says what "
                                "else is in the way"));
  }
  if (found->latent_switch)
    plan.add_notes("the upstream file is not what nginx serves; it is put back first");
  pb::Slot active = found->loaded.slot;
  if (found->adoptable) {
    active = SlotOfPort(spec, found->adoptable->port);
    plan.add_notes(
        absl::StrCat("takes over from the version that serves on port ", found->adoptable->port));
  }
  const pb::Slot candidate = active == pb::SLOT_UNSPECIFIED ? pb::SLOT_BLUE : OtherSlot(active);
  plan.set_from(active);
  plan.set_to(candidate);
  plan.set_port(PortOf(spec, candidate));
  // The candidate slot may still hold a warm release with another port.
  (candidate == pb::SLOT_GREEN ? site.green_port : site.blue_port) = plan.port();
  if (const auto serving = parts_.workload.Observe(spec.app(), active, nullptr);
      serving.ok() && !serving->containers.empty()) {
    plan.set_serving_release(serving->containers.front().release);
  } else if (!found->adoptable && HoldsAdopted(facts, active)) {
    plan.set_serving_release(kAdoptedRelease);
  }
  if (plan.serving_release() == request.release())
    plan.add_notes("this release serves here already");
  if (absl::Status status = CheckCandidatePort(spec, facts, candidate); !status.ok())
    problem(status);
  if (absl::Status status = parts_.workload.CheckProjects(spec); !status.ok()) problem(status);
  const uint64_t generation = NextGeneration(found->loaded.generation, facts.last_generation(),
                                             found->adoptable.has_value());
  const auto text = RenderManagedFile(site.FileFor(generation, candidate, parts_.settings.address));
  if (!text.ok()) {
    problem(text.status());
  } else {
    plan.set_nginx_diff(LineDiff(found->file_text.value_or(""), *text));
  }
  if (request.manifest_digest().empty()) return plan;
  if (absl::Status status = PlanServices(request, plan); !status.ok()) problem(status);
  return plan;
}

}  // namespace slipway::executor
