#include "executor/drivers/health.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/mutex.h"
#include "common/thread.h"
#include "executor/drivers/evidence_text.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::milliseconds kFirstPause{25};

std::chrono::nanoseconds Grow(std::chrono::nanoseconds pause, std::chrono::nanoseconds longest) {
  return std::max<std::chrono::nanoseconds>(kFirstPause, std::min(pause * 3 / 2, longest));
}

void AddTail(const std::vector<std::string>& lines,
             google::protobuf::RepeatedPtrField<std::string>* tail) {
  for (const std::string& line : lines) *tail->Add() = EvidenceText(line, 512);
}

// Hears of a container's end by Docker's own event and ends every wait and every probe under way.
// The event is believed without another look: Docker answers no question about a container while it
// restarts it, which can take seconds. Only where waits are on the machine's clock.
class DeathWatch {
 public:
  DeathWatch(Workload& workload, const HealthRequest& request)
      : parent_(request.cancellation), hook_(parent_, [this] { woken_.Cancel(); }) {
    if (parent_ == nullptr) return;
    auto thread = StartThread([this, &workload, app = request.app, slot = request.slot] {
      std::string death = workload.AwaitDeath(app, slot, stop_);
      {
        MutexLock lock(mutex_);
        death_ = std::move(death);
      }
      woken_.Cancel();
    });
    // Without it a death is noticed by the next probe.
    if (thread.ok()) thread_ = *std::move(thread);
  }
  ~DeathWatch() {
    stop_.Cancel();
    if (thread_.joinable()) thread_.join();
  }

  // What probes and waits listen to.
  Cancellation* Wakeup() { return parent_ == nullptr ? nullptr : &woken_; }
  // CANCELLED when the step was, CONTAINER_DIED after an event.
  absl::Status Check() {
    if (parent_ != nullptr && parent_->IsCancelled()) {
      return absl::CancelledError("cancelled while watching the slot");
    }
    MutexLock lock(mutex_);
    return death_.empty() ? absl::OkStatus() : Failure(pb::FAILURE_REASON_CONTAINER_DIED, death_);
  }

 private:
  Cancellation* const parent_;
  Cancellation woken_;
  Cancellation stop_;
  Mutex mutex_;
  std::string death_ SLIPWAY_GUARDED_BY(mutex_);
  CancellationHook hook_;
  std::thread thread_;
};

SlotProbe MakeProbe(Workload& workload, const HealthRequest& request, Cancellation* wakeup) {
  return SlotProbe(workload, request.app, request.slot, request.spec, request.address, request.port,
                   wakeup);
}

// One round of the gate: who is alive, whose port it is (once), and the probe. An error ends the
// gate. Without Docker's answer the round is inconclusive, unless `blind` allows a probe that does
// not need Docker to decide alone.
absl::Status Round(DeathWatch& deaths, SlotProbe& probe, bool blind, bool& owner_known,
                   ProbeResult& result) {
  absl::Status status = deaths.Check();
  if (status.ok()) status = probe.CheckAlive();
  if (status.ok() && !owner_known) {
    status = probe.CheckPortOwner();
    owner_known = status.ok();
  }
  const bool docker_is_away = absl::IsUnavailable(status);
  if (docker_is_away && blind && !probe.NeedsDocker()) status = absl::OkStatus();
  if (absl::IsUnavailable(status) || absl::IsNotFound(status)) {
    result = {false, EvidenceText(status.message(), 512), "", docker_is_away};
    return absl::OkStatus();
  }
  if (!status.ok()) return status;
  result = probe.Probe();
  // What a probe says of a container that died meanwhile is not the cause.
  if (!result.success) {
    status = deaths.Check();
    if (status.ok()) status = probe.CheckAlive();
    if (absl::IsUnavailable(status)) status = absl::OkStatus();
  }
  return status;
}

}  // namespace

HealthOutcome HealthGate::Wait(const HealthRequest& request) {
  HealthOutcome outcome;
  pb::HealthEvidence& evidence = outcome.evidence;
  const auto start = clock_.Now();
  const auto deadline = std::min(request.deadline, start + FromProto(request.spec.timeout()));
  const uint32_t wanted = std::max(1u, request.spec.successes());
  const auto longest = FromProto(request.spec.interval());
  const auto stable = FromProto(request.spec.stable());
  DeathWatch deaths(workload_, request);
  SlotProbe probe = MakeProbe(workload_, request, deaths.Wakeup());
  std::chrono::nanoseconds pause = kFirstPause;
  Clock::Monotonic first_success = start;
  bool owner_known = false;
  while (true) {
    ProbeResult result;
    outcome.status = Round(deaths, probe, /*blind=*/false, owner_known, result);
    if (!outcome.status.ok()) break;
    evidence.set_probes(evidence.probes() + 1);
    const auto now = clock_.Now();
    if (result.success) {
      if (evidence.successes_in_a_row() == 0) {
        first_success = now;
        pause = kFirstPause;
      }
      evidence.set_successes_in_a_row(evidence.successes_in_a_row() + 1);
      if (evidence.successes_in_a_row() >= wanted && now - first_success >= stable) {
        *evidence.mutable_time_to_healthy() = ToProto(now - start);
        return outcome;
      }
    } else {
      evidence.set_successes_in_a_row(0);
      evidence.set_last_failure(result.failure);
      evidence.set_last_body(result.body);
    }
    if (now >= deadline) {
      outcome.status =
          Failure(pb::FAILURE_REASON_UNHEALTHY,
                  absl::StrCat("not healthy within ", FormatDuration(deadline - start), " (",
                               evidence.probes(), " probes): ", evidence.last_failure()));
      break;
    }
    clock_.WaitFor(std::min<std::chrono::nanoseconds>(pause, deadline - now), deaths.Wakeup());
    if (outcome.status = deaths.Check(); !outcome.status.ok()) break;
    // In a row of successes the pause only grows for the sake of a long stability window.
    if (!result.success || evidence.successes_in_a_row() >= wanted) pause = Grow(pause, longest);
  }
  AddTail(probe.Tail(), evidence.mutable_container_tail());
  return outcome;
}

BakeOutcome HealthGate::Watch(const HealthRequest& request, std::chrono::nanoseconds duration) {
  BakeOutcome outcome;
  pb::BakeEvidence& evidence = outcome.evidence;
  const auto start = clock_.Now();
  const auto end = start + duration;
  const uint32_t limit = std::max(1u, request.spec.successes());
  const auto longest = FromProto(request.spec.interval());
  DeathWatch deaths(workload_, request);
  SlotProbe probe = MakeProbe(workload_, request, deaths.Wakeup());
  // The gate has seen to it before the switch.
  bool owner_known = true;
  uint32_t in_a_row = 0;
  std::chrono::nanoseconds pause = kFirstPause;
  while (outcome.status.ok()) {
    ProbeResult result;
    outcome.status = Round(deaths, probe, /*blind=*/true, owner_known, result);
    const auto now = clock_.Now();
    *evidence.mutable_watched() = ToProto(now - start);
    if (!outcome.status.ok()) break;
    if (result.inconclusive) {
      evidence.set_last_failure(result.failure);
      if (now >= request.deadline) {
        outcome.status = Failure(pb::FAILURE_REASON_BAKE,
                                 absl::StrCat("Docker gave no answer about the slot until the "
                                              "step's end: ",
                                              result.failure));
        break;
      }
      clock_.WaitFor(pause = Grow(pause, longest), deaths.Wakeup());
      outcome.status = deaths.Check();
      continue;
    }
    evidence.set_probes(evidence.probes() + 1);
    in_a_row = result.success ? 0 : in_a_row + 1;
    if (!result.success) {
      evidence.set_failures(evidence.failures() + 1);
      evidence.set_last_failure(result.failure);
    }
    if (in_a_row >= limit) {
      outcome.status = Failure(
          pb::FAILURE_REASON_BAKE,
          absl::StrCat("after the switch ", in_a_row, " probes in a row failed: ", result.failure));
      break;
    }
    // A failure at the very end is followed up, or the last probes would not count.
    if (now >= end && in_a_row == 0) return outcome;
    pause = result.success ? Grow(pause, longest) : kFirstPause;
    const auto left = std::max<std::chrono::nanoseconds>(end - now, std::chrono::nanoseconds(0));
    clock_.WaitFor(in_a_row > 0 ? pause : std::min(pause, left), deaths.Wakeup());
    outcome.status = deaths.Check();
  }
  AddTail(probe.Tail(), evidence.mutable_container_tail());
  return outcome;
}

}  // namespace slipway::executor
