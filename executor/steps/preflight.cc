// Step 1 and 2 of the protocol: which slot serves, by nginx's own word; is everything there that
// the deployment needs.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/file.h"
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

}  // namespace

absl::Status Steps::CheckCandidatePort(const std::string& app, const pb::ApplicationSpec& spec,
                                       pb::Slot candidate) {
  const uint32_t port = PortOf(spec, candidate);
  SLIPWAY_ASSIGN_OR_RETURN(const ObservedSlot ours,
                           parts_.workload.Observe(app, candidate, nullptr));
  const auto owner = parts_.workload.OwnerOfPort(port);
  if (owner.ok()) {
    for (const ObservedContainer& container : ours.containers) {
      if (container.id == owner->id) return absl::OkStatus();
    }
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

StepOutcome Steps::Preflight(const xpb::PreflightCommand& command, const StepCall& call) {
  const std::string& app = call.operation.app();
  StepOutcome outcome;
  pb::PreflightEvidence& evidence = *outcome.evidence.mutable_preflight();
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  *facts.mutable_spec() = command.spec();
  if (outcome.status = ChooseProofPorts(command.spec(), facts); !outcome.status.ok())
    return outcome;

  evidence.set_compose_version(parts_.settings.compose_version);
  evidence.set_free_bytes(FreeBytes(parts_.paths.State()));
  if (evidence.free_bytes() < parts_.settings.least_free_bytes) {
    outcome.status = Failure(pb::FAILURE_REASON_NO_SPACE,
                             absl::StrCat(parts_.paths.State().string(), " has ",
                                          evidence.free_bytes() >> 20, " MiB left"),
                             "free some space; `docker system df` shows what Docker holds");
    return outcome;
  }

  const NginxSite site = SiteOf(command.spec(), facts);
  const auto found = parts_.nginx.Preflight(site);
  if (!found.ok()) {
    outcome.status = found.status();
    return outcome;
  }
  evidence.set_nginx_version(found->nginx_version);
  if (found->latent_switch) {
    const auto repaired = parts_.nginx.RepairLatentSwitch(site);
    if (!repaired.ok()) {
      outcome.status =
          Annotate(repaired.status(),
                   "the upstream file is not what nginx serves, and could not be put back");
      return outcome;
    }
    evidence.set_repaired_latent_switch(*repaired);
  }
  evidence.set_generation(found->loaded.generation);
  pb::Slot active = found->loaded.slot;
  if (found->adoptable) {
    active = SlotOfPort(command.spec(), found->adoptable->port);
    if (active == pb::SLOT_UNSPECIFIED) {
      outcome.status = Failure(pb::FAILURE_REASON_PREFLIGHT,
                               absl::StrCat("the upstream file sends requests to port ",
                                            found->adoptable->port, ", which is no slot's"),
                               absl::StrCat("set `slots: {blue: ", found->adoptable->port,
                                            ", green: ...}` in slipway.yaml"));
      return outcome;
    }
    evidence.set_adopted_port(found->adoptable->port);
    facts.set_adopted_port(found->adoptable->port);
    if (const auto owner = parts_.workload.OwnerOfPort(found->adoptable->port); owner.ok()) {
      evidence.set_adopted_container(owner->id);
      facts.set_adopted_container(owner->id);
    }
  }
  evidence.set_active_slot(active);
  const pb::Slot candidate = active == pb::SLOT_UNSPECIFIED ? pb::SLOT_BLUE : OtherSlot(active);
  evidence.set_candidate_slot(candidate);
  if (outcome.status = CheckCandidatePort(app, command.spec(), candidate); !outcome.status.ok())
    return outcome;
  if (outcome.status = parts_.workload.CheckProjects(command.spec()); !outcome.status.ok())
    return outcome;

  if (const auto serving = parts_.workload.Observe(app, active, nullptr);
      serving.ok() && !serving->containers.empty()) {
    evidence.set_active_release(serving->containers.front().release);
  }
  if (const auto warm = parts_.workload.Observe(app, candidate, nullptr); warm.ok()) {
    const xpb::SlotFacts* known = FindSlot(facts, candidate);
    evidence.set_candidate_is_warm(warm->AllRunning() && known != nullptr &&
                                   known->warm_until() != 0 &&
                                   warm->containers.front().release == command.release());
    if (evidence.candidate_is_warm()) {
      // Its time must not end before it serves.
      const int64_t needed =
          std::chrono::system_clock::to_time_t(parts_.clock.WallNow() + kKeptForRollback);
      xpb::SlotFacts& kept = MutableSlot(facts, candidate);
      kept.set_warm_until(std::max(kept.warm_until(), needed));
    }
  }
  outcome.status = Commit(parts_.journal, facts);
  outcome.summary = active == pb::SLOT_UNSPECIFIED
                        ? absl::StrCat("nothing serves yet; ", SlotWord(candidate), " is first")
                    : found->adoptable
                        ? absl::StrCat("an older version serves on port ", found->adoptable->port,
                                       " and is taken over; ", SlotWord(candidate), " is next")
                        : absl::StrCat(SlotWord(active), " serves ", evidence.active_release(),
                                       "; ", SlotWord(candidate),
                                       evidence.candidate_is_warm() ? " is warm" : " is next");
  return outcome;
}

}  // namespace slipway::executor
