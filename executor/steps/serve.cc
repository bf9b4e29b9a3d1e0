// Step 6 to 8 of the protocol: the switch with its proof, and the watch over the new slot.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/adopted_release.h"
#include "common/durations.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/http_client.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::seconds kConnectTime{2};
// systemd restarts a failed nginx, or a person theirs, within this.
constexpr std::chrono::seconds kRestartTime{20};
constexpr std::chrono::milliseconds kRestartPause{50};

SiteSwitch SiteSwitchOf(const xpb::SwitchIntent& intent, const pb::ApplicationSpec& spec) {
  return {spec.app(), intent.from(), intent.to(), intent.generation(), spec.site().front_door()};
}

}  // namespace

pb::ApplicationSpec Steps::SpecOf(const xpb::ApplicationFacts& facts,
                                  const std::string& release) const {
  if (release.empty()) return facts.spec();
  const auto staged = LoadStaged(facts.app(), release);
  return staged.ok() ? staged->spec : facts.spec();
}

SwitchRequest Steps::RequestOf(const xpb::SwitchIntent& intent,
                               const xpb::ApplicationFacts& facts) const {
  const pb::ApplicationSpec spec = SpecOf(facts, intent.release());
  SwitchRequest request;
  request.site = SiteOf(spec, facts);
  if (intent.blue_port() != 0) request.site.blue_port = intent.blue_port();
  if (intent.green_port() != 0) request.site.green_port = intent.green_port();
  request.from = intent.from();
  request.to = intent.to();
  request.generation = intent.generation();
  if (!intent.absent()) request.old_text = intent.old_text();
  if (intent.adopt_port() != 0)
    request.adopt = ForeignUpstream{intent.adopt_address(), intent.adopt_port()};
  if (spec.nginx().has_front_door()) request.front_door = spec.nginx().front_door();
  return request;
}

// The file on disk as long as it is what nginx has loaded. One that was edited, removed or written
// without effect is no way back: then it is what nginx has loaded, written once more.
absl::StatusOr<std::string> Steps::TextToGoBackTo(const xpb::ApplicationFacts& facts,
                                                  const LoadedConfig& loaded,
                                                  absl::StatusOr<std::string> on_disk) const {
  if (loaded.generation == 0) return on_disk;
  const auto file = on_disk.ok() ? ParseManagedFile(*on_disk) : on_disk.status();
  const bool marker = file.ok() && file->mode == pb::SWITCH_MODE_MARKER;
  if (file.ok() && file->generation == loaded.generation && (marker || file->slot == loaded.slot)) {
    return on_disk;
  }
  const auto proven = ParseManagedFile(facts.managed_text());
  if (proven.ok() && proven->generation == loaded.generation) return facts.managed_text();
  const NginxSite site = SiteOf(facts.spec(), facts);
  return RenderManagedFile(site.FileFor(loaded.generation, loaded.slot, parts_.settings.address));
}

absl::StatusOr<xpb::SwitchIntent> Steps::PlanSwitch(const xpb::ApplicationFacts& facts,
                                                    const std::string& release, pb::Slot to,
                                                    const LoadedConfig& loaded) {
  xpb::SwitchIntent intent;
  intent.set_release(release);
  intent.set_from(loaded.slot);
  intent.set_to(to);
  intent.set_absent(true);
  if (!facts.spec().has_site()) {
    const NginxSite site = SiteOf(SpecOf(facts, release), facts);
    intent.set_blue_port(site.blue_port);
    intent.set_green_port(site.green_port);
    const auto text = TextToGoBackTo(facts, loaded, ReadFile(site.file));
    if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
    intent.set_absent(!text.ok());
    intent.set_old_text(text.value_or(""));
    if (loaded.generation == 0 && text.ok() && AppOfManagedFile(*text) != facts.app()) {
      const auto foreign = ParseForeignUpstream(*text, site.upstream);
      if (foreign.ok()) {
        intent.set_adopt_address(foreign->address);
        intent.set_adopt_port(foreign->port);
        intent.set_from(OtherSlot(to));
      } else if (!absl::IsNotFound(foreign.status())) {
        return Annotate(foreign.status(), site.file.string());
      }
    }
  }
  intent.set_generation(
      NextGeneration(loaded.generation, facts.last_generation(), intent.adopt_port() != 0));
  return intent;
}

SwitchOutcome Steps::CarryOut(const xpb::SwitchIntent& intent, const xpb::ApplicationFacts& facts) {
  return facts.spec().has_site() ? parts_.site.Switch(SiteSwitchOf(intent, facts.spec()))
                                 : parts_.nginx.Switch(RequestOf(intent, facts));
}

SwitchOutcome Steps::Settle(const xpb::SwitchIntent& intent, const xpb::ApplicationFacts& facts) {
  return facts.spec().has_site() ? parts_.site.Recover(SiteSwitchOf(intent, facts.spec()))
                                 : parts_.nginx.Recover(RequestOf(intent, facts));
}

// The last look before nginx is touched: a slot that was warm when the deployment began may be gone
// by now, and a port may be another's.
absl::Status Steps::CheckTarget(const xpb::ApplicationFacts& facts, pb::Slot to,
                                const StepCall& call) {
  const bool site = facts.spec().has_site();
  const uint32_t port = PortOfSlot(facts.spec(), facts, to);
  const bool adopted = facts.adopted_port() != 0 && facts.adopted_port() == port;
  const auto listens = [&] {
    HttpEndpoint endpoint;
    endpoint.address = parts_.settings.address;
    endpoint.port = port;
    return TryTcp(endpoint, kConnectTime, std::chrono::milliseconds(0), call.cancellation).ok();
  };
  const auto refused = [&](absl::string_view why) {
    return Failure(pb::FAILURE_REASON_CONTAINER_DIED,
                   absl::StrCat(SlotWord(to), " ", why, "; nginx was not touched"));
  };
  const std::string nobody = absl::StrCat("has nobody listening on port ", port);
  const auto slot = WorkloadOf(facts.spec()).Observe(facts.app(), to, call.cancellation);
  // While Docker restarts, containers go on: what can be seen without it has to do.
  if (!slot.ok() && !site && listens()) return absl::OkStatus();
  SLIPWAY_RETURN_IF_ERROR(slot.status());
  if (!slot->AllRunning()) {
    if (!adopted) return refused("does not run");
    const bool there = parts_.workload.OwnerOfPort(port).ok() || listens();
    return there ? absl::OkStatus() : refused(nobody);
  }
  if (site) return absl::OkStatus();
  const auto owner = parts_.workload.OwnerOfPort(port);
  if (absl::IsNotFound(owner.status())) return refused(nobody);
  if (!owner.ok()) return listens() ? absl::OkStatus() : owner.status();
  const bool ours = std::any_of(slot->containers.begin(), slot->containers.end(),
                                [&](const ObservedContainer& one) { return one.id == owner->id; });
  return ours ? absl::OkStatus()
              : refused(absl::StrCat("does not own port ", port, ", which container ",
                                     owner->id.substr(0, 12), " publishes"));
}

// An nginx that is just being restarted has nothing loaded for a moment; nothing tells when it is
// back but its own answer.
absl::StatusOr<LoadedConfig> Steps::AwaitNginx(const xpb::ApplicationFacts& facts,
                                               const StepCall& call) {
  const auto end = std::min(parts_.clock.Now() + kRestartTime, call.deadline);
  while (true) {
    auto loaded = Loaded(facts);
    const bool lost =
        loaded.ok() && loaded->generation == 0 && facts.active_slot() != pb::SLOT_UNSPECIFIED;
    if (!lost || parts_.clock.Now() >= end) return loaded;
    parts_.clock.SleepFor(kRestartPause);
  }
}

StepOutcome Steps::Switch(const std::string& wanted, pb::Slot to, const StepCall& call) {
  // The version that was taken over has no release here.
  const std::string release = wanted == kAdoptedRelease ? "" : wanted;
  const std::string& app = call.operation.app();
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const auto known = parts_.journal.IntentOf(call.operation.id());
  if (known && known->has_switch_()) {
    // Interrupted, and not settled when the executor came back, for instance because nginx was not
    // there yet.
    const SwitchOutcome recovered = Settle(known->switch_(), facts);
    if (recovered.status.ok() || !recovered.evidence.restored()) {
      return FinishSwitch(app, known->switch_(), recovered);
    }
  }
  const auto untouched = [to](const absl::Status& status) {
    StepOutcome outcome;
    outcome.status = status;
    outcome.evidence.mutable_switch_()->set_to(to);
    outcome.evidence.mutable_switch_()->set_restored(true);
    return outcome;
  };
  const auto loaded = AwaitNginx(facts, call);
  if (!loaded.ok()) return {loaded.status(), "", {}};
  if (loaded->generation != 0 && loaded->slot == to) {
    StepOutcome outcome;
    outcome.evidence.mutable_switch_()->set_to(to);
    outcome.evidence.mutable_switch_()->set_generation(loaded->generation);
    outcome.summary = absl::StrCat(SlotWord(to), " serves already");
    return outcome;
  }
  if (absl::Status ready = CheckTarget(facts, to, call); !ready.ok()) return untouched(ready);
  const auto planned = PlanSwitch(facts, release, to, *loaded);
  if (!planned.ok()) return untouched(planned.status());

  xpb::JournalRecord record;
  xpb::Intent& intent = *record.mutable_intent();
  if (known) intent = *known;
  intent.set_app(app);
  intent.set_operation_id(call.operation.id());
  intent.set_step("switch");
  intent.set_epoch(call.operation.epoch());
  *intent.mutable_switch_() = *planned;
  if (absl::Status status = parts_.journal.Append(record); !status.ok()) return untouched(status);
  return FinishSwitch(app, *planned, CarryOut(*planned, facts));
}

absl::Status Steps::MoveNames(const xpb::ApplicationFacts& facts, const std::string& release,
                              pb::Slot to) {
  if (!release.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const StagedRelease staged, LoadStaged(facts.app(), release));
    return WorkloadOf(staged.spec).AnswerToNames(staged, to);
  }
  // What the names are is the other slot's to say.
  const xpb::SlotFacts* other = FindSlot(facts, OtherSlot(to));
  if (facts.adopted_container().empty() || other == nullptr || other->release().empty())
    return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const StagedRelease staged, LoadStaged(facts.app(), other->release()));
  return parts_.workload.AdoptedAnswers(staged, facts.adopted_container(), to);
}

// Takes what nginx proved into the facts.
StepOutcome Steps::FinishSwitch(const std::string& app, const xpb::SwitchIntent& intent,
                                const SwitchOutcome& switched) {
  const std::string& release = intent.release();
  StepOutcome outcome;
  outcome.status = switched.status;
  *outcome.evidence.mutable_switch_() = switched.evidence;
  if (!switched.status.ok()) return outcome;
  SLIPWAY_FAILPOINT("executor.switch.proven");
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  *facts.mutable_spec() = SpecOf(facts, release);
  // In mode marker a switch leaves the loaded generation as it is.
  facts.set_generation(switched.loaded.generation != 0 ? switched.loaded.generation
                                                       : intent.generation());
  facts.set_active_slot(intent.to());
  if (const auto text = ReadFile(facts.spec().nginx().file());
      ParseManagedFile(text.value_or("")).value_or(ManagedFile()).generation ==
      facts.generation()) {
    facts.set_managed_text(*text);
  }
  xpb::SlotFacts& serving = MutableSlot(facts, intent.to());
  if (!release.empty()) serving.set_release(release);
  // Its warm time, if it was warm, stays until the deployment is over: undone, the slot is warm again.
  serving.clear_old_workers();
  serving.clear_undrained();
  serving.clear_drain_until();
  if (intent.from() != pb::SLOT_UNSPECIFIED) {
    xpb::SlotFacts& left = MutableSlot(facts, intent.from());
    SetOldWorkers(left, switched.old_workers);
    // Whoever reads a file has it open, also when its copy is removed.
    left.set_undrained(!facts.spec().has_site());
    if (facts.spec().nginx().mode() == pb::SWITCH_MODE_MARKER) {
      left.set_drain_until(WallSeconds() + facts.spec().rollout().drain().seconds());
    }
  }
  outcome.status = Commit(parts_.journal, facts);
  outcome.summary =
      absl::StrCat(SlotWord(intent.to()), " serves, proven ",
                   FormatDuration(FromProto(switched.evidence.proven())),
                   facts.spec().has_site() ? " after the link changed" : " after the reload");
  if (release.empty()) {
    absl::StrAppend(&outcome.summary, "; it is the version that was taken over",
                    facts.workers_release().empty()
                        ? ""
                        : ", and the workers stay those of " + facts.workers_release());
  }
  if (const absl::Status named = MoveNames(facts, release, intent.to()); !named.ok()) {
    // Visitors are served; what the workers see is mended by the next deployment or rollback.
    absl::StrAppend(&outcome.summary,
                    "; but workers do not find it by name: ", std::string(named.message()));
    LogWarning("names not moved", {{"app", app}, {"error", std::string(named.message())}});
  }
  return outcome;
}

StepOutcome Steps::Bake(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  HealthRequest request;
  request.app = release.app;
  request.slot = slot;
  request.spec = release.spec.health();
  request.address = parts_.settings.address;
  request.port = PortOf(release.spec, slot);
  request.deadline = call.deadline;
  request.cancellation = call.cancellation;
  BakeOutcome watched = parts_.health.Watch(request, FromProto(release.spec.rollout().bake()));
  StepOutcome outcome;
  outcome.status = watched.status;
  outcome.summary =
      absl::StrCat("watched for ", FormatDuration(FromProto(watched.evidence.watched())), ", ",
                   watched.evidence.probes(), " probes");
  *outcome.evidence.mutable_bake() = std::move(watched.evidence);
  return outcome;
}

}  // namespace slipway::executor
