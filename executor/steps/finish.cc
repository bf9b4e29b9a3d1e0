// Step 9 and 10 of the protocol: the old slot's end, the workers, what is no longer needed, and the
// last look.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/adopted_release.h"
#include "common/durations.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/drain.h"
#include "executor/facts.h"
#include "executor/failure.h"
#include "executor/steps/steps.h"

namespace slipway::executor {
StepOutcome Steps::Drain(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(release.app);
  DrainRequest request;
  if (const xpb::SlotFacts* known = FindSlot(facts, slot))
    request.old_workers = OldWorkersOf(*known);
  request.address = parts_.settings.address;
  request.port = PortOfSlot(release.spec, facts, slot);
  request.timeout = std::min<std::chrono::nanoseconds>(FromProto(release.spec.rollout().drain()),
                                                       call.deadline - parts_.clock.Now());
  request.cancellation = call.cancellation;
  const auto drained = executor::Drain(parts_.proc, request);
  if (!drained.ok()) return {drained.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_drain() = *drained;
  // In mode marker more may come until its time is over.
  xpb::SlotFacts& left = MutableSlot(facts, slot);
  if (left.drain_until() <= WallSeconds()) left.clear_undrained();
  outcome.status = Commit(parts_.journal, facts);
  outcome.summary =
      drained->connections_left() == 0 && drained->old_workers_left() == 0
          ? absl::StrCat("nothing uses ", SlotWord(slot), " any more, after ",
                         FormatDuration(FromProto(drained->waited())))
          : absl::StrCat("at the deadline ", drained->connections_left(), " connections and ",
                         drained->old_workers_left(), " old workers still use ", SlotWord(slot));
  if (left.undrained()) {
    absl::StrAppend(&outcome.summary, "; it runs on for requests that were just being read");
  }
  return outcome;
}

absl::Status Steps::LetFinish(const std::string& app, pb::Slot slot, const StepCall& call) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  const xpb::SlotFacts* known = FindSlot(facts, slot);
  if (known == nullptr || !known->undrained()) return absl::OkStatus();
  if (const int64_t seconds = known->drain_until() - WallSeconds(); seconds > 0) {
    // Nothing tells when nginx has read the last of those requests: the stated time is the bound.
    const auto left = std::min<std::chrono::nanoseconds>(std::chrono::seconds(seconds),
                                                         call.deadline - parts_.clock.Now());
    if (parts_.clock.WaitFor(left, call.cancellation)) {
      return absl::CancelledError("cancelled while the slot could still be used");
    }
  }
  return Drain({app, known->release(), facts.spec()}, slot, call).status;
}

StepOutcome Steps::Retire(const StagedRelease& release, pb::Slot slot, const StepCall& call) {
  StepOutcome outcome;
  pb::RetireEvidence& evidence = *outcome.evidence.mutable_retire();
  const auto warm = FromProto(release.spec.keep().warm());
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(release.app);
  xpb::SlotFacts& known = MutableSlot(facts, slot);
  const int64_t now = WallSeconds();
  if (warm.count() == 0 && known.drain_until() <= now) {
    const auto stopped = StopSlot(release.app, slot, call);
    if (outcome.status = stopped.status(); !outcome.status.ok()) return outcome;
    for (const std::string& id : *stopped) evidence.add_stopped_containers(id);
    outcome.summary = absl::StrCat(SlotWord(slot), " is stopped");
    return outcome;
  }
  MutableSlot(facts, OtherSlot(slot)).clear_warm_until();
  // Asked for again after a crash, the window does not begin anew.
  if (known.warm_until() == 0) {
    known.set_warm_until(std::max(
        now + std::chrono::duration_cast<std::chrono::seconds>(warm).count(), known.drain_until()));
  }
  outcome.status = Commit(parts_.journal, facts);
  const auto kept =
      std::max<std::chrono::nanoseconds>(warm, std::chrono::seconds(known.drain_until() - now));
  *evidence.mutable_kept_warm() = ToProto(kept);
  outcome.summary = absl::StrCat(SlotWord(slot), " stays warm for ", FormatDuration(kept));
  // Nothing that serves uses it any more, so nothing is lost when it is known by no name from here on.
  if (outcome.status.ok() && !facts.adopted_container().empty() && HoldsAdopted(facts, slot) &&
      !release.release.empty()) {
    outcome.status = parts_.workload.AdoptedLeavesNames(release, facts.adopted_container());
  }
  return outcome;
}

StepOutcome Steps::Workers(const StagedRelease& release, const StepCall& call) {
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(release.app);
  const auto previous = LoadStaged(release.app, facts.workers_release());
  const auto replaced = parts_.workload.ReplaceWorkers(
      release, previous.ok() ? &*previous : nullptr, ToContext(call));
  if (!replaced.ok()) return {replaced.status(), "", {}};
  StepOutcome outcome;
  *outcome.evidence.mutable_workers() = *replaced;
  outcome.summary = absl::StrCat(replaced->replaced_size(), " replaced, ",
                                 replaced->unchanged_size(), " unchanged");
  facts.set_workers_release(release.release);
  outcome.status = Commit(parts_.journal, facts);
  return outcome;
}

// Adds to `kept` the releases of which a container has something mounted: it would lose its files, and
// would not start again.
absl::Status Steps::KeepMounted(const std::string& app, const xpb::ApplicationFacts& facts,
                                std::set<std::string>& kept, pb::PruneEvidence& evidence) {
  std::set<std::string> asked;
  for (const xpb::ReleaseFacts& release : facts.releases()) asked.insert(release.release());
  for (const std::string& folder : parts_.releases.List(app)) asked.insert(folder);
  for (const std::string& release : kept) asked.erase(release);
  SLIPWAY_ASSIGN_OR_RETURN(
      const auto mounted,
      WorkloadOf(facts.spec()).MountedReleases(app, {asked.begin(), asked.end()}));
  for (const auto& [release, container] : mounted) {
    kept.insert(release);
    evidence.add_kept_mounted(absl::StrCat(release, ": ", container));
  }
  return absl::OkStatus();
}

StepOutcome Steps::Prune(const std::string& app, const xpb::PruneCommand& command,
                         const StepCall&) {
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  std::set<std::string> kept(command.keep_releases().begin(), command.keep_releases().end());
  kept.insert(command.release());
  kept.insert(facts.workers_release());
  for (const xpb::SlotFacts& slot : facts.slots()) kept.insert(slot.release());

  // Files are shared between releases: what goes is what no kept one is made of.
  std::set<std::string> doomed_blobs;
  const auto each_blob = [this](const xpb::ReleaseFacts& release, const auto& visit) {
    visit(release.manifest_digest());
    const auto manifest = parts_.releases.ReadManifest(release.manifest_digest());
    if (!manifest.ok()) return;
    for (const pb::ManifestEntry& entry : manifest->entries()) visit(entry.digest());
  };
  StepOutcome outcome;
  const auto mounted = KeepMounted(app, facts, kept, *outcome.evidence.mutable_prune());
  if (!mounted.ok()) return {mounted, "", std::move(outcome.evidence)};
  std::vector<std::string> doomed;
  xpb::ApplicationFacts left = facts;
  left.clear_releases();
  for (const xpb::ReleaseFacts& release : facts.releases()) {
    if (kept.contains(release.release())) {
      *left.add_releases() = release;
      continue;
    }
    doomed.push_back(release.release());
    each_blob(release, [&](const std::string& digest) { doomed_blobs.insert(digest); });
  }
  // A folder that no record names is what a crash left behind.
  for (const std::string& folder : parts_.releases.List(app)) {
    if (!kept.contains(folder) && std::find(doomed.begin(), doomed.end(), folder) == doomed.end())
      doomed.push_back(folder);
  }
  for (const std::string& other : parts_.journal.Applications()) {
    const xpb::ApplicationFacts others = other == app ? left : parts_.journal.FactsOf(other);
    for (const xpb::ReleaseFacts& release : others.releases()) {
      each_blob(release, [&](const std::string& digest) { doomed_blobs.erase(digest); });
    }
  }
  const auto prune = [&]() -> absl::Status {
    pb::PruneEvidence& evidence = *outcome.evidence.mutable_prune();
    SLIPWAY_ASSIGN_OR_RETURN(
        const pb::PruneEvidence forgotten,
        WorkloadOf(facts.spec()).Forget(app, doomed, {kept.begin(), kept.end()}));
    *evidence.mutable_removed_images() = forgotten.removed_images();
    // One that cannot be removed whole stays a folder without a record, and is tried again by the
    // next prune; the others and the blobs go nevertheless.
    absl::Status removed;
    for (const std::string& release : doomed) {
      const absl::Status one = parts_.releases.Remove(app, release);
      if (one.ok()) evidence.add_removed_releases(release);
      removed.Update(one);
    }
    SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, left));
    SLIPWAY_ASSIGN_OR_RETURN(const uint64_t freed, parts_.releases.RemoveBlobs(doomed_blobs));
    evidence.set_freed_bytes(forgotten.freed_bytes() + freed);
    return removed;
  };
  outcome.status = prune();
  const pb::PruneEvidence& evidence = outcome.evidence.prune();
  outcome.summary = absl::StrCat(evidence.removed_releases_size(), " releases removed, ",
                                 kept.size() - kept.count(""), " kept");
  if (!evidence.kept_mounted().empty()) {
    absl::StrAppend(&outcome.summary,
                    "; mounted by containers: ", absl::StrJoin(evidence.kept_mounted(), ", "));
  }
  return outcome;
}

// It came through its bake: a rollback on the host may lead to it.
absl::Status Steps::NoteProven(const std::string& app, const std::string& release) {
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  for (xpb::ReleaseFacts& known : *facts.mutable_releases()) {
    if (known.release() != release || known.proven()) continue;
    known.set_proven(true);
    return Commit(parts_.journal, facts);
  }
  return absl::OkStatus();
}

absl::Status Steps::ConfirmAdopted(const xpb::ApplicationFacts& facts, pb::Slot slot,
                                   const StepCall& call, pb::ConfirmEvidence& evidence) {
  if (!HoldsAdopted(facts, slot) || !AdoptedRuns(facts, call.cancellation)) {
    return Failure(
        pb::FAILURE_REASON_CONTAINER_DIED,
        absl::StrCat(SlotWord(slot), ", which serves, is not the version that was taken over"));
  }
  if (!facts.adopted_container().empty())
    evidence.add_containers(facts.adopted_container().substr(0, 12));
  return absl::OkStatus();
}

StepOutcome Steps::Confirm(const std::string& app, const xpb::ConfirmCommand& command,
                           const StepCall& call) {
  const xpb::ApplicationFacts facts = parts_.journal.FactsOf(app);
  StepOutcome outcome;
  const auto loaded = Loaded(facts);
  if (outcome.status = loaded.status(); !outcome.status.ok()) return outcome;
  const auto seen = AwaitDocker(call, [&] {
    return WorkloadOf(facts.spec()).Observe(app, command.slot(), call.cancellation);
  });
  if (outcome.status = seen.status(); !outcome.status.ok()) return outcome;
  pb::ConfirmEvidence& evidence = *outcome.evidence.mutable_confirm();
  evidence.set_slot(loaded->slot);
  evidence.set_generation(loaded->generation);
  for (const ObservedContainer& container : seen->containers) {
    evidence.add_containers(absl::StrCat(container.service, "=", container.id.substr(0, 12)));
  }
  if (loaded->slot != command.slot()) {
    outcome.status = Failure(
        pb::FAILURE_REASON_INTERNAL,
        absl::StrCat("nginx does not serve ", SlotWord(command.slot()), " any more, it serves ",
                     loaded->generation == 0 ? "nothing of ours" : SlotWord(loaded->slot)));
    return outcome;
  }
  if (command.release() == kAdoptedRelease) {
    outcome.status = ConfirmAdopted(facts, command.slot(), call, evidence);
    outcome.summary =
        absl::StrCat(SlotWord(command.slot()), " serves the version that was taken over");
    return outcome;
  }
  const bool of_release =
      std::all_of(seen->containers.begin(), seen->containers.end(),
                  [&](const ObservedContainer& one) { return one.release == command.release(); });
  if (!seen->AllRunning() || !of_release) {
    outcome.status =
        Failure(pb::FAILURE_REASON_CONTAINER_DIED,
                absl::StrCat(SlotWord(command.slot()),
                             ", which serves, does not run all of release ", command.release()));
    return outcome;
  }
  if (facts.spec().has_site()) {
    outcome.status = parts_.site.Prove(app, facts.spec().site().front_door(), command.slot());
  } else {
    // Moved after the switch, unless Docker was away just then.
    outcome.status = Annotate(MoveNames(facts, command.release(), command.slot()),
                              "workers and shared services do not find what serves by its names");
  }
  if (outcome.status.ok()) outcome.status = NoteProven(app, command.release());
  // The deployment has just put right what differed before; what differs nevertheless is shown, and stops nothing.
  Compare(app, [] { return true; }).IgnoreError();
  outcome.summary = absl::StrCat(SlotWord(command.slot()), " serves ", command.release());
  return outcome;
}

}  // namespace slipway::executor
