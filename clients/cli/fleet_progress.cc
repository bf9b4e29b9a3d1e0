#include "clients/cli/fleet_progress.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

#include "common/durations.h"

namespace slipway::cli {
namespace {

Tally& Find(std::vector<Tally>& tallies, const std::string& step) {
  const auto found = std::find_if(tallies.begin(), tallies.end(),
                                  [&](const Tally& one) { return one.step == step; });
  if (found != tallies.end()) return *found;
  tallies.emplace_back().step = step;
  return tallies.back();
}

bool IsFailure(pb::StepState state) {
  return state == pb::STEP_STATE_FAILED || state == pb::STEP_STATE_UNKNOWN;
}

}  // namespace

bool HasFailed(const pb::HostRollout& rollout) {
  return std::any_of(rollout.steps().begin(), rollout.steps().end(),
                     [](const pb::Step& step) { return IsFailure(step.state()); });
}

void Tally::Add(const std::string& host, const pb::Step& ended) {
  ++(IsFailure(ended.state()) ? bad : good);
  const auto took = FromProto(ended.duration());
  if (took < slowest) return;
  slowest = took;
  slowest_host = host;
}

std::string Tally::Line(int hosts) const {
  return absl::StrFormat("%-16s %5d of %d%s  slowest %s %s", step, good, hosts,
                         bad == 0 ? "" : absl::StrCat(", ", bad, " failed"), slowest_host,
                         FormatDuration(slowest));
}

std::vector<Tally> TalliesOf(const pb::Deployment& deployment) {
  std::vector<Tally> tallies;
  for (const pb::HostRollout& rollout : deployment.rollouts()) {
    for (const pb::Step& step : rollout.steps()) {
      Tally& tally = Find(tallies, step.name());
      ++tally.begun;
      if (step.state() != pb::STEP_STATE_DISPATCHED) tally.Add(rollout.host(), step);
    }
  }
  return tallies;
}

Tally& FleetProgress::Of(const std::string& step) { return Find(tallies_, step); }

void FleetProgress::Show(const std::string& host, const pb::Step& step) {
  Tally& tally = Of(step.name());
  if (step.state() == pb::STEP_STATE_DISPATCHED) {
    ++tally.begun;
    ShowLive(tally);
    return;
  }
  // That something was taken back is told by the step that did it.
  if (step.state() == pb::STEP_STATE_COMPENSATED) return;
  tally.Add(host, step);
  if (IsFailure(step.state())) {
    ClearLive();
    output_.Line(absl::StrFormat("%-16s %s on %s after %s: %s", step.name(),
                                 output_.Paint(Tone::kBad, "failed"), host,
                                 FormatDuration(FromProto(step.duration())),
                                 absl::StrReplaceAll(step.summary(), {{"\r", ""}, {"\n", " "}})));
  }
  // A tenth more of the fleet, at a moment when none is under way: a batch, or the whole of it.
  const int ended = tally.good + tally.bad;
  const bool enough = ended - tally.told >= std::max(1, hosts_ / 10) || ended == hosts_;
  if (ended == tally.begun && enough) {
    Tell(tally);
  } else {
    ShowLive(tally);
  }
}

void FleetProgress::Flush() {
  ClearLive();
  for (Tally& tally : tallies_) {
    if (tally.told < tally.good + tally.bad) Tell(tally);
  }
}

void FleetProgress::Tell(Tally& tally) {
  ClearLive();
  tally.told = tally.good + tally.bad;
  output_.Line(tally.Line(hosts_));
}

void FleetProgress::ClearLive() {
  if (!live_) return;
  std::fputs("\r\033[K", stdout);
  live_ = false;
}

void FleetProgress::ShowLive(const Tally& tally) {
  if (!output_.terminal) return;
  ClearLive();
  const int ended = tally.good + tally.bad;
  std::fputs(
      output_
          .Paint(Tone::kQuiet, absl::StrFormat("%-16s %5d of %d, %d under way ...", tally.step,
                                               ended, hosts_, tally.begun - ended))
          .c_str(),
      stdout);
  std::fflush(stdout);
  live_ = true;
}

}  // namespace slipway::cli
