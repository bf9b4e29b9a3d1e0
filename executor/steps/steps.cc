#include "executor/steps/steps.h"

#include <set>

#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "common/durations.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/http_client.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/local_port.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::seconds kUsedSlotIsKept{600};
constexpr std::chrono::seconds kAdoptedAnswers{2};

}  // namespace

CallContext ToContext(const StepCall& call) {
  return {call.deadline, call.cancellation, call.on_line};
}

xpb::StepResult Steps::Run(const xpb::ExecuteRequest& request, const StepCall& call) {
  StepOutcome outcome = Dispatch(request, call);
  xpb::StepResult result;
  result.set_succeeded(outcome.status.ok());
  *result.mutable_evidence() = std::move(outcome.evidence);
  if (outcome.status.ok()) {
    result.set_summary(outcome.summary);
    return result;
  }
  result.set_reason(ReasonOf(outcome.status));
  result.set_summary(MessageWithCure(outcome.status));
  return result;
}

StepOutcome Steps::Dispatch(const xpb::ExecuteRequest& request, const StepCall& call) {
  const std::string& app = call.operation.app();
  // Steps that need nothing of a release, or make it.
  switch (request.command_case()) {
    case xpb::ExecuteRequest::kPreflight:
      return Preflight(request.preflight(), call);
    case xpb::ExecuteRequest::kStage:
      return Stage(request.stage(), call);
    case xpb::ExecuteRequest::kSwitch:
      return Switch(request.switch_().release(), request.switch_().to(), call);
    case xpb::ExecuteRequest::kRemove:
      return Remove(app, request.remove().slot(), call);
    case xpb::ExecuteRequest::kPrune:
      return Prune(app, request.prune(), call);
    case xpb::ExecuteRequest::kConfirm:
      return Confirm(app, request.confirm(), call);
    default:
      break;
  }
  const auto with = [&](const std::string& release, auto step) -> StepOutcome {
    const auto staged = LoadStaged(app, release);
    if (!staged.ok()) return {staged.status(), "", {}};
    return step(*staged);
  };
  switch (request.command_case()) {
    case xpb::ExecuteRequest::kBuild:
      return with(request.build().release(), [&](const auto& at) { return Build(at, call); });
    case xpb::ExecuteRequest::kShared:
      return with(request.shared().release(), [&](const auto& at) {
        return Shared(at, {request.shared().update().begin(), request.shared().update().end()},
                      call);
      });
    case xpb::ExecuteRequest::kStart:
      return with(request.start().release(),
                  [&](const auto& at) { return Start(at, request.start().slot(), call); });
    case xpb::ExecuteRequest::kHealth:
      return with(request.health().release(),
                  [&](const auto& at) { return Health(at, request.health().slot(), call); });
    case xpb::ExecuteRequest::kHook:
      return with(request.hook().release(),
                  [&](const auto& at) { return Hook(at, request.hook().hook(), call); });
    case xpb::ExecuteRequest::kBake:
      return with(request.bake().release(),
                  [&](const auto& at) { return Bake(at, request.bake().slot(), call); });
    case xpb::ExecuteRequest::kDrain:
      return with(request.drain().release(),
                  [&](const auto& at) { return Drain(at, request.drain().slot(), call); });
    case xpb::ExecuteRequest::kRetire:
      // The version that was taken over is no release on this host, and says nothing of its own.
      if (request.retire().release() == kAdoptedRelease) {
        const pb::ApplicationSpec spec = parts_.journal.FactsOf(app).spec();
        return Retire({app, "", spec}, request.retire().slot(), call);
      }
      return with(request.retire().release(),
                  [&](const auto& at) { return Retire(at, request.retire().slot(), call); });
    case xpb::ExecuteRequest::kWorkers:
      return with(request.workers().release(), [&](const auto& at) { return Workers(at, call); });
    default:
      return {absl::InvalidArgumentError("an unknown command"), "", {}};
  }
}

absl::StatusOr<StagedRelease> Steps::LoadStaged(const std::string& app,
                                                const std::string& release) const {
  StagedRelease staged{app, release, {}};
  const auto bytes = ReadFile(parts_.paths.Generated(app, release) / "spec");
  if (!parts_.releases.IsSealed(app, release) || !bytes.ok() ||
      !staged.spec.ParseFromString(*bytes)) {
    return Failure(pb::FAILURE_REASON_RELEASE_CONTENT,
                   absl::StrCat("release ", release, " is not on this host"),
                   "deploy it again, which sends it");
  }
  return staged;
}

NginxSite Steps::SiteOf(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts) const {
  NginxSite site = NginxSite::Of(spec, parts_.paths.Marker(spec.app()));
  if (facts.proof_ports_size() == 2)
    site.proof_ports = {facts.proof_ports(0), facts.proof_ports(1)};
  site.blue_port = PortOfSlot(spec, facts, pb::SLOT_BLUE);
  site.green_port = PortOfSlot(spec, facts, pb::SLOT_GREEN);
  return site;
}

uint32_t Steps::PortOfSlot(const pb::ApplicationSpec& spec, const xpb::ApplicationFacts& facts,
                           pb::Slot slot) const {
  const xpb::SlotFacts* known = FindSlot(facts, slot);
  if (known == nullptr) return PortOf(spec, slot);
  const bool adopted = known->port() != 0 && known->port() == facts.adopted_port();
  if (known->release().empty() && !adopted) return PortOf(spec, slot);
  if (known->port() != 0) return known->port();
  // Facts of an older executor: the slot runs as its own release says.
  const auto staged = LoadStaged(facts.app(), known->release());
  return PortOf(staged.ok() ? staged->spec : spec, slot);
}

bool Steps::HoldsAdopted(const xpb::ApplicationFacts& facts, pb::Slot slot) const {
  const xpb::SlotFacts* known = FindSlot(facts, slot);
  return slot != pb::SLOT_UNSPECIFIED && facts.adopted_port() != 0 &&
         (known == nullptr || known->release().empty()) &&
         facts.adopted_port() == PortOfSlot(facts.spec(), facts, slot);
}

bool Steps::AdoptedRuns(const xpb::ApplicationFacts& facts, Cancellation* cancellation) const {
  if (parts_.workload.OwnerOfPort(facts.adopted_port()).ok()) return true;
  HttpEndpoint endpoint;
  endpoint.address = parts_.settings.address;
  endpoint.port = facts.adopted_port();
  return TryTcp(endpoint, kAdoptedAnswers, std::chrono::milliseconds(0), cancellation).ok();
}

Workload& Steps::WorkloadOf(const pb::ApplicationSpec& spec) const {
  return spec.has_site() ? parts_.site : parts_.workload;
}

absl::StatusOr<LoadedConfig> Steps::Loaded(const xpb::ApplicationFacts& facts) const {
  if (!facts.spec().has_site()) return parts_.nginx.Loaded(SiteOf(facts.spec(), facts));
  LoadedConfig loaded;
  loaded.nginx_running = true;
  loaded.slot = parts_.site.Serving(facts.app());
  if (loaded.slot != pb::SLOT_UNSPECIFIED) loaded.generation = facts.generation();
  return loaded;
}

absl::Status Steps::ChooseProofPorts(const pb::ApplicationSpec& spec,
                                     xpb::ApplicationFacts& facts) const {
  if (facts.proof_ports_size() == 2) {
    // What nginx has loaded, or will load when it starts, stays.
    SLIPWAY_ASSIGN_OR_RETURN(const LoadedConfig loaded, parts_.nginx.Loaded(SiteOf(spec, facts)));
    if (loaded.generation != 0 || loaded.placeholder ||
        facts.active_slot() != pb::SLOT_UNSPECIFIED) {
      return absl::OkStatus();
    }
    const bool chosen_by_spec = spec.nginx().proof_ports_size() == 2;
    if (!chosen_by_spec && loaded.strange_ports.empty() &&
        PortIsFree(parts_.settings.address, facts.proof_ports(0)) &&
        PortIsFree(parts_.settings.address, facts.proof_ports(1))) {
      return absl::OkStatus();
    }
    facts.clear_proof_ports();
  }
  if (spec.nginx().proof_ports_size() == 2) {
    *facts.mutable_proof_ports() = spec.nginx().proof_ports();
    return absl::OkStatus();
  }
  std::set<uint32_t> taken;
  for (const std::string& app : parts_.journal.Applications()) {
    const xpb::ApplicationFacts other = parts_.journal.FactsOf(app);
    taken.insert(other.proof_ports().begin(), other.proof_ports().end());
  }
  const uint32_t first = parts_.settings.first_proof_port;
  for (uint32_t port = first; port < first + 1000 && facts.proof_ports_size() < 2; ++port) {
    if (!taken.contains(port) && PortIsFree(parts_.settings.address, port))
      facts.add_proof_ports(port);
  }
  if (facts.proof_ports_size() == 2) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                 absl::StrCat("no two free ports from ", first, " on ", parts_.settings.address),
                 "set nginx.proof_ports in slipway.yaml");
}

absl::Status Steps::RefuseIfServing(const std::string& app, pb::Slot slot) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  SLIPWAY_ASSIGN_OR_RETURN(const LoadedConfig loaded, Loaded(facts));
  // While nginx is down, starts or stops, what it served last is what it will serve again. A
  // preflight that sees it run without anything of ours clears the active slot.
  const pb::Slot serving = loaded.generation != 0 ? loaded.slot : facts.active_slot();
  if (serving != slot) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "SLOT_SERVES",
               absl::StrCat(SlotWord(slot), " of ", app, " serves and is not stopped"));
}

absl::StatusOr<std::string> Steps::StopAdopted(xpb::ApplicationFacts& facts, pb::Slot slot,
                                               const StepCall& call) {
  if (facts.adopted_container().empty() ||
      facts.adopted_port() != PortOfSlot(facts.spec(), facts, slot)) {
    return std::string();
  }
  std::string stopped = facts.adopted_container();
  SLIPWAY_RETURN_IF_ERROR(parts_.workload.StopContainer(stopped, ToContext(call)));
  facts.clear_adopted_container();
  facts.clear_adopted_port();
  return stopped;
}

absl::StatusOr<std::vector<std::string>> Steps::StopSlot(const std::string& app, pb::Slot slot,
                                                         const StepCall& call) {
  SLIPWAY_RETURN_IF_ERROR(RefuseIfServing(app, slot));
  SLIPWAY_RETURN_IF_ERROR(LetFinish(app, slot, call));
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  SLIPWAY_ASSIGN_OR_RETURN(std::vector<std::string> stopped, AwaitDocker(call, [&] {
                             return WorkloadOf(facts.spec()).RemoveSlot(app, slot, ToContext(call));
                           }));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string adopted, StopAdopted(facts, slot, call));
  if (!adopted.empty()) stopped.push_back(adopted);
  xpb::SlotFacts& known = MutableSlot(facts, slot);
  known.clear_release();
  known.clear_warm_until();
  known.clear_old_workers();
  known.clear_undrained();
  known.clear_drain_until();
  known.clear_port();
  SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, facts));
  return stopped;
}

// A site that was written to a slot's own port goes on there, whatever was switched.
absl::Status Steps::KeepWhatSitesUse(const xpb::ApplicationFacts& facts, pb::Slot slot) {
  const uint32_t port = PortOfSlot(facts.spec(), facts, slot);
  const auto uses = parts_.nginx.FixedPasses(SiteOf(facts.spec(), facts), {port});
  if (uses.empty()) return absl::OkStatus();
  xpb::ApplicationFacts kept = facts;
  MutableSlot(kept, slot).set_warm_until(WallSeconds() + kUsedSlotIsKept.count());
  SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, kept));
  return Failure(pb::FAILURE_REASON_PREFLIGHT,
                 absl::StrCat(SlotWord(slot), " is kept though its time is over, for nginx still ",
                              "sends requests to its port: ", uses.front()),
                 absl::StrCat("write `proxy_pass http://", facts.spec().nginx().upstream(),
                              ";` there and reload nginx"));
}

absl::StatusOr<std::vector<std::string>> Steps::EndWarmth(const std::string& app, pb::Slot slot) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const xpb::SlotFacts* known = FindSlot(facts, slot);
  if (known == nullptr || known->warm_until() == 0) return std::vector<std::string>();
  const int64_t now = WallSeconds();
  if (known->warm_until() > now) return std::vector<std::string>();
  if (RefuseIfServing(app, slot).code() == absl::StatusCode::kFailedPrecondition) {
    // It serves again, whatever the facts say: it is not warm, and nothing is to be stopped.
    xpb::ApplicationFacts corrected = facts;
    MutableSlot(corrected, slot).clear_warm_until();
    SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, corrected));
    return std::vector<std::string>();
  }
  if (!facts.spec().has_site()) SLIPWAY_RETURN_IF_ERROR(KeepWhatSitesUse(facts, slot));
  return StopSlot(app, slot, {{}, parts_.clock.Now() + std::chrono::minutes(2), nullptr, nullptr});
}

absl::StatusOr<xpb::ApplicationState> Steps::Inspect(const std::string& app) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  xpb::ApplicationState state;
  state.set_app(app);
  state.set_epoch(parts_.journal.EpochOf(app));
  for (const xpb::ReleaseFacts& release : facts.releases()) state.add_releases(release.release());
  {
    MutexLock lock(differences_mutex_);
    const auto known = differences_.find(app);
    if (known != differences_.end()) {
      state.mutable_differences()->Add(known->second.begin(), known->second.end());
    }
  }
  if (!facts.has_spec()) return state;
  const auto loaded = Loaded(facts);
  if (loaded.ok()) {
    state.set_active_slot(loaded->slot);
    state.set_generation(loaded->generation);
  }
  const int64_t now = WallSeconds();
  for (const pb::Slot slot : {pb::SLOT_BLUE, pb::SLOT_GREEN}) {
    SLIPWAY_ASSIGN_OR_RETURN(const ObservedSlot observed,
                             WorkloadOf(facts.spec()).Observe(app, slot, nullptr));
    // Before the first switch it serves by a file that is not ours, and is nobody's slot yet.
    const bool adopted = state.active_slot() != pb::SLOT_UNSPECIFIED && HoldsAdopted(facts, slot);
    if (observed.containers.empty() && !adopted) continue;
    xpb::SlotState& slot_state = *state.add_slots();
    slot_state.set_slot(slot);
    slot_state.set_port(PortOfSlot(facts.spec(), facts, slot));
    slot_state.set_release(adopted ? kAdoptedRelease : observed.containers.front().release);
    slot_state.set_running(adopted ? AdoptedRuns(facts, nullptr) : observed.AllRunning());
    slot_state.set_serving(slot == state.active_slot());
    const xpb::SlotFacts* known = FindSlot(facts, slot);
    if (!slot_state.serving() && known != nullptr && known->warm_until() > now) {
      slot_state.mutable_warm_left()->set_seconds(known->warm_until() - now);
    }
    if (!slot_state.serving()) continue;
    state.set_active_release(slot_state.release());
    if (const auto* release = FindRelease(facts, slot_state.release())) {
      state.set_active_commit(release->commit());
    }
  }
  return state;
}

}  // namespace slipway::executor
