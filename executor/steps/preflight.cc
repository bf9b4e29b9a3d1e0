// Step 1 and 2 of the protocol: which slot serves, by nginx's own word; is everything there that
// the deployment needs.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/local_port.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

// How long a warm rollback may take from here to its switch.
constexpr std::chrono::minutes kKeptForRollback{5};

// The file was ours, and somebody has changed it since.
bool IsEdited(const NginxSite& site) {
  const auto text = ReadFile(site.file.string());
  return text.ok() && AppOfManagedFile(*text) == site.app && !ParseManagedFile(*text).ok();
}

}  // namespace

absl::Status Steps::CheckCandidatePort(const pb::ApplicationSpec& spec,
                                       const xpb::ApplicationFacts& facts, pb::Slot candidate) {
  const std::string& app = spec.app();
  const uint32_t port = PortOf(spec, candidate);
  SLIPWAY_ASSIGN_OR_RETURN(const ObservedSlot ours,
                           parts_.workload.Observe(app, candidate, nullptr));
  const auto owner = parts_.workload.OwnerOfPort(port);
  if (owner.ok()) {
    for (const ObservedContainer& container : ours.containers) {
      if (container.id == owner->id) return absl::OkStatus();
    }
    // The version that was taken over, warm by now: it makes way when the candidate starts.
    if (owner->id == facts.adopted_container() && port == facts.adopted_port())
      return absl::OkStatus();
    return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                   absl::StrCat("port ", port, ", which ", SlotWord(candidate),
                                " needs, is published by container ", owner->id.substr(0, 12), " (",
                                owner->service, ")"),
                   "stop that container, or give the slot another port in slipway.yaml");
  }
  if (!absl::IsNotFound(owner.status())) return owner.status();
  if (PortIsFree(parts_.settings.address, port)) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                 absl::StrCat("port ", port, ", which ", SlotWord(candidate),
                              " needs, is taken by a process outside Docker"),
                 absl::StrCat("find it with `ss -ltnp 'sport = :", port, "'` and stop it"));
}

absl::Status Steps::CheckHost(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                              pb::PreflightEvidence& evidence) const {
  if (facts.has_spec() && facts.spec().has_site() != spec.has_site() &&
      facts.active_slot() != pb::SLOT_UNSPECIFIED) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat(spec.app(), " serves from this host as ",
                                spec.has_site() ? "containers" : "a site", ", and cannot become ",
                                spec.has_site() ? "a site" : "containers"),
                   "give it another name");
  }
  evidence.set_free_bytes(FreeBytes(parts_.paths.State()));
  if (evidence.free_bytes() >= parts_.settings.least_free_bytes) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_NO_SPACE,
                 absl::StrCat(parts_.paths.State().string(), " has ", evidence.free_bytes() >> 20,
                              " MiB left"),
                 "free some space; `docker system df` shows what Docker holds");
}

// Committed at once: another application that looks for free ports at the same time must not find
// these.
absl::Status Steps::ReserveProofPorts(const pb::ApplicationSpec& spec,
                                      xpb::ApplicationFacts& facts) {
  MutexLock lock(proof_ports_mutex_);
  SLIPWAY_RETURN_IF_ERROR(ChooseProofPorts(spec, facts));
  xpb::ApplicationFacts reserved = parts_.journal.FactsOf(spec.app());
  *reserved.mutable_proof_ports() = facts.proof_ports();
  return Commit(parts_.journal, reserved);
}

absl::StatusOr<pb::Slot> Steps::LookAtNginx(const pb::ApplicationSpec& spec,
                                            xpb::ApplicationFacts& facts,
                                            pb::PreflightEvidence& evidence) {
  if (spec.has_site()) {
    SLIPWAY_RETURN_IF_ERROR(parts_.site.Preflight(spec));
    evidence.set_generation(facts.generation());
    return parts_.site.Serving(spec.app());
  }
  SLIPWAY_RETURN_IF_ERROR(ReserveProofPorts(spec, facts));
  evidence.set_compose_version(parts_.settings.compose_version);
  const NginxSite site = SiteOf(spec, facts);
  // What is loaded was written by the specification of what serves: its mode, above all, may be
  // another than the new release's.
  const bool serves = facts.has_spec() && facts.active_slot() != pb::SLOT_UNSPECIFIED;
  const NginxSite loaded_site = serves ? SiteOf(facts.spec(), facts) : site;
  SLIPWAY_RETURN_IF_ERROR(ForgetPlaceholderElsewhere(facts, site));
  auto seen = parts_.nginx.Preflight(site);
  if (!serves && ReasonOf(seen.status()) == pb::FAILURE_REASON_FOREIGN_NGINX_FILE) {
    // The other file may wait for an upstream of an application that is new as well: this one's is
    // there from now on, so that the other one's deployment does not wait for it.
    const absl::Status written = WritePlaceholder(facts, site).status();
    if (!written.ok()) {
      LogWarning("placeholder not written",
                 {{"app", spec.app()}, {"error", std::string(written.message())}});
    }
  }
  if (!seen.ok() && IsEdited(loaded_site)) {
    // Our own file is at fault, and nginx knows what stood in it.
    SLIPWAY_ASSIGN_OR_RETURN(const bool repaired,
                             parts_.nginx.RepairLatentSwitch(loaded_site, facts.managed_text()));
    evidence.set_repaired_latent_switch(repaired);
    seen = parts_.nginx.Preflight(site);
  }
  SLIPWAY_ASSIGN_OR_RETURN(const NginxPreflight found, std::move(seen));
  evidence.set_nginx_version(found.nginx_version);
  if (found.waits_for_first_file) {
    // nginx names one error at a time: with the file in place it says what else keeps it from a reload.
    SLIPWAY_ASSIGN_OR_RETURN(const PlacedFile placed, WritePlaceholder(facts, site));
    SLIPWAY_RETURN_IF_ERROR(placed.waits_for);
  }
  if (found.latent_switch) {
    const auto repaired = parts_.nginx.RepairLatentSwitch(loaded_site, facts.managed_text());
    if (!repaired.ok()) {
      return Annotate(repaired.status(),
                      "the upstream file is not what nginx serves, and could not be put back");
    }
    evidence.set_repaired_latent_switch(*repaired);
  }
  evidence.set_generation(found.loaded.generation);
  if (!found.adoptable) return found.loaded.slot;
  const uint32_t port = found.adoptable->port;
  const pb::Slot active = SlotOfPort(spec, port);
  if (active == pb::SLOT_UNSPECIFIED) {
    return Failure(
        pb::FAILURE_REASON_PREFLIGHT,
        absl::StrCat("the upstream file sends requests to port ", port, ", which is no slot's"),
        absl::StrCat("set `slots: {blue: ", port, ", green: ...}` in slipway.yaml"));
  }
  evidence.set_adopted_port(port);
  facts.set_adopted_port(port);
  MutableSlot(facts, active).set_port(port);
  if (const auto owner = parts_.workload.OwnerOfPort(port); owner.ok()) {
    evidence.set_adopted_container(owner->id);
    facts.set_adopted_container(owner->id);
  }
  return active;
}

std::string Steps::WarmRelease(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                               pb::Slot slot) const {
  const xpb::SlotFacts* known = FindSlot(facts, slot);
  if (known == nullptr || known->warm_until() == 0) return "";
  if (HoldsAdopted(facts, slot)) return AdoptedRuns(facts, nullptr) ? kAdoptedRelease : "";
  const auto warm = WorkloadOf(spec).Observe(spec.app(), slot, nullptr);
  return warm.ok() && warm->AllRunning() ? warm->containers.front().release : "";
}

void Steps::LookAtSlots(const pb::ApplicationSpec& spec, const std::string& wanted,
                        xpb::ApplicationFacts& facts, pb::PreflightEvidence& evidence) {
  const std::string& app = spec.app();
  Workload& workload = WorkloadOf(spec);
  if (const auto serving = workload.Observe(app, evidence.active_slot(), nullptr);
      serving.ok() && !serving->containers.empty()) {
    evidence.set_active_release(serving->containers.front().release);
  } else if (evidence.adopted_port() == 0 && HoldsAdopted(facts, evidence.active_slot())) {
    evidence.set_active_release(kAdoptedRelease);
  }
  if (wanted.empty() || WarmRelease(spec, facts, evidence.candidate_slot()) != wanted) return;
  evidence.set_candidate_is_warm(true);
  // Its time must not end before it serves.
  const int64_t needed =
      std::chrono::system_clock::to_time_t(parts_.clock.WallNow() + kKeptForRollback);
  xpb::SlotFacts& kept = MutableSlot(facts, evidence.candidate_slot());
  kept.set_warm_until(std::max(kept.warm_until(), needed));
}

StepOutcome Steps::Preflight(const xpb::PreflightCommand& command, const StepCall& call) {
  const std::string& app = call.operation.app();
  StepOutcome outcome;
  pb::PreflightEvidence& evidence = *outcome.evidence.mutable_preflight();
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  if (outcome.status = CheckHost(command.spec(), facts, evidence); !outcome.status.ok())
    return outcome;
  const auto active = LookAtNginx(command.spec(), facts, evidence);
  if (outcome.status = active.status(); !outcome.status.ok()) return outcome;
  evidence.set_active_slot(*active);
  // Until a switch is proven, what serves is described by its own specification.
  if (*active == pb::SLOT_UNSPECIFIED || !facts.has_spec()) *facts.mutable_spec() = command.spec();
  facts.set_active_slot(evidence.adopted_port() == 0 ? *active : pb::SLOT_UNSPECIFIED);
  const pb::Slot candidate = *active == pb::SLOT_UNSPECIFIED ? pb::SLOT_BLUE : OtherSlot(*active);
  evidence.set_candidate_slot(candidate);
  const bool to_adopted = command.release() == kAdoptedRelease;
  if (!command.spec().has_site() && !to_adopted) {
    outcome.status = CheckCandidatePort(command.spec(), facts, candidate);
    if (outcome.status.ok()) outcome.status = parts_.workload.CheckProjects(command.spec());
    if (!outcome.status.ok()) return outcome;
  }
  LookAtSlots(command.spec(), command.release(), facts, evidence);
  if (to_adopted && !evidence.candidate_is_warm()) {
    outcome.status = Failure(
        pb::FAILURE_REASON_PREFLIGHT, "the version that was taken over is not there any more",
        "`slipway history` has the releases that `slipway rollback` may still go to");
    return outcome;
  }
  outcome.status = Commit(parts_.journal, facts);
  outcome.summary = *active == pb::SLOT_UNSPECIFIED
                        ? absl::StrCat("nothing serves yet; ", SlotWord(candidate), " is first")
                    : evidence.adopted_port() != 0
                        ? absl::StrCat("an older version serves on port ", evidence.adopted_port(),
                                       " and is taken over; ", SlotWord(candidate), " is next")
                        : absl::StrCat(SlotWord(*active), " serves ", evidence.active_release(),
                                       "; ", SlotWord(candidate),
                                       evidence.candidate_is_warm() ? " is warm" : " is next");
  return outcome;
}

}  // namespace slipway::executor
