#include "controller/rollout/outcome.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/adopted_release.h"
#include "common/enum_word.h"
#include "common/spec.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {

// More hosts than these are counted, not named.
constexpr size_t kNamed = 5;

bool IsBad(const StepRecord& step) {
  return step.state == pb::STEP_STATE_FAILED || step.state == pb::STEP_STATE_UNKNOWN;
}

// "web-1 and web-2 serve..." has to stay readable for a thousand hosts: what many have in common is said once.
using HostsByText = std::map<std::string, std::vector<std::string>>;

// `one` and `many` stand between the hosts and what is said of them.
std::string Grouped(const HostsByText& hosts_by_text, absl::string_view one, absl::string_view many,
                    absl::string_view separator) {
  std::vector<std::string> parts;
  for (const auto& [text, hosts] : hosts_by_text) {
    if (hosts.size() > kNamed) {
      parts.push_back(absl::StrCat(hosts.size(), " hosts", many, text));
      continue;
    }
    for (const std::string& host : hosts) parts.push_back(absl::StrCat(host, one, text));
  }
  return absl::StrJoin(parts, separator);
}

// Observed, on every host that went all the way.
bool ServesWhereItShould(const DeploymentRecord& deployment) {
  bool any = false;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    if (IsStuck(rollout) || IsFenced(rollout)) return false;
    any |= Serves(rollout);
  }
  return any;
}

std::string WhatServedBefore(const DeploymentRecord& deployment) {
  HostsByText hosts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    const pb::PreflightEvidence seen = PreflightOf(rollout);
    if (!seen.active_release().empty()) {
      const std::string what = seen.active_release() == kAdoptedRelease
                                   ? "the version that was taken over"
                                   : absl::StrCat("release ", seen.active_release());
      hosts[absl::StrCat(what, " on ", SlotWord(seen.active_slot()))].push_back(rollout.host);
    } else if (seen.adopted_port() != 0) {
      hosts[absl::StrCat("the older version on port ", seen.adopted_port())].push_back(
          rollout.host);
    }
  }
  return Grouped(hosts, " serves ", " serve ", ", ");
}

// Every host was looked at, and nothing served there.
bool SawNothingServing(const DeploymentRecord& deployment) {
  return !deployment.rollouts.empty() &&
         std::all_of(deployment.rollouts.begin(), deployment.rollouts.end(),
                     [](const RolloutRecord& rollout) {
                       const StepRecord* step = FindStep(rollout, "preflight");
                       return step != nullptr && step->state == pb::STEP_STATE_DONE &&
                              PreviousSlot(rollout) == pb::SLOT_UNSPECIFIED;
                     });
}

std::string Sentence(absl::string_view text) {
  return text.empty() ? "" : absl::StrCat(text, ". ");
}

// Of hosts that went all the way.
std::string Warnings(const DeploymentRecord& deployment) {
  HostsByText hosts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    if (StaysBehind(rollout)) continue;
    for (const StepRecord& step : rollout.steps) {
      if (IsBad(step)) hosts[absl::StrCat(step.name, ": ", step.summary)].push_back(rollout.host);
    }
  }
  std::vector<std::string> parts;
  for (const auto& [text, names] : hosts) {
    const size_t colon = text.find(": ");
    parts.push_back(absl::StrCat(
        text.substr(0, colon), " on ",
        names.size() > kNamed ? absl::StrCat(names.size(), " hosts") : absl::StrJoin(names, ", "),
        text.substr(colon)));
  }
  return absl::StrJoin(parts, "; ");
}

// Why a host that stays behind does.
std::string WhyBehind(const RolloutRecord& rollout) {
  for (const StepRecord& step : rollout.steps) {
    const bool undone =
        step.state == pb::STEP_STATE_COMPENSATED && step.reason != pb::FAILURE_REASON_UNSPECIFIED;
    if (IsBad(step) || undone) return absl::StrCat(step.name, " failed: ", step.summary);
  }
  return "it was not reached";
}

std::string StayBehind(const DeploymentRecord& deployment) {
  HostsByText hosts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    if (StaysBehind(rollout)) hosts[WhyBehind(rollout)].push_back(rollout.host);
  }
  return Grouped(hosts, " (", " (", "); ") + (hosts.empty() ? "" : ")");
}

// Hosts that the deployment was to go on without.
std::string WentWithout(const DeploymentRecord& deployment) {
  HostsByText hosts;
  for (const LeftOut& one : deployment.left_out) hosts[EnumWord(one.reason)].push_back(one.host);
  return Grouped(hosts, " (", " (", "); ") + (hosts.empty() ? "" : ")");
}

constexpr char kNewOwner[] =
    "it obeys a newer owner: somebody rolled back locally on the host, or another controller took "
    "over; nothing further was touched there";

// Hosts that could not be brought back, or are nobody's to bring back, with the reason; empty when there are none.
std::string LeftBehind(const DeploymentRecord& deployment) {
  HostsByText hosts;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    const StepRecord* undo = FindStep(rollout, "undo:start");
    std::string why;
    if (IsFenced(rollout)) {
      // Before a switch it is as it was.
      if (FindStep(rollout, "switch") != nullptr) why = kNewOwner;
    } else if (IsStuck(rollout)) {
      const StepRecord* step = FindStep(rollout, "undo:switch");
      if (step == nullptr) step = FindStep(rollout, "switch");
      const bool unknown = step->state == pb::STEP_STATE_UNKNOWN;
      why = absl::StrCat(
          unknown ? "nobody knows which release it serves (" : "it could not be brought back (",
          step->summary, ")");
    } else if (Serves(rollout)) {
      why = absl::StrCat("it serves the failed release ", deployment.release,
                         ", for nothing served before it");
    } else if (undo != nullptr && undo->state != pb::STEP_STATE_DONE) {
      why = absl::StrCat("the candidate could not be removed (", undo->summary, ")");
    }
    if (!why.empty()) hosts[why].push_back(rollout.host);
  }
  return Grouped(hosts, ": ", ": ", "; ");
}

bool WentBack(const RolloutRecord& rollout) {
  const StepRecord* step = FindStep(rollout, "switch");
  return step != nullptr && step->state == pb::STEP_STATE_COMPENSATED;
}

bool FailedAndServes(const RolloutRecord& rollout) {
  const StepRecord* bake = FindStep(rollout, "bake");
  return Serves(rollout) && bake != nullptr && IsBad(*bake);
}

Outcome Attention(Outcome outcome, std::string message) {
  outcome.state = pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  outcome.message = std::move(message);
  return outcome;
}

// Of what it was to let serve.
std::string NameOf(const DeploymentRecord& deployment) {
  if (deployment.release == kAdoptedRelease) return "The version that was taken over";
  return absl::StrCat("Release ", deployment.release);
}

// Hosts that were given up on the way and are not as they were before.
std::string NotTakenBack(const DeploymentRecord& deployment) {
  DeploymentRecord given_up;
  given_up.release = deployment.release;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    if (StaysBehind(rollout) || FailedAndServes(rollout)) given_up.rollouts.push_back(rollout);
  }
  return LeftBehind(given_up);
}

}  // namespace

Outcome FinishedOutcome(const DeploymentRecord& deployment) {
  Outcome outcome;
  outcome.reason = deployment.reason;
  outcome.serves = ServesWhereItShould(deployment);
  const std::string late = deployment.cancel_requested ? "The cancel came too late. " : "";
  const std::string given_up = NotTakenBack(deployment);
  const std::string& app = deployment.app;
  if (!given_up.empty()) {
    return Attention(outcome, absl::StrCat(late, NameOf(deployment), " serves, but NOT UNDONE on ",
                                           given_up, ". A person must look: `slipway status ", app,
                                           "` and `slipway why ", app, "`"));
  }
  if (deployment.reason != pb::FAILURE_REASON_UNSPECIFIED || !outcome.serves) {
    return Attention(
        outcome,
        absl::StrCat(late, NameOf(deployment), outcome.serves ? " serves" : " was switched to",
                     ", but ", deployment.message,
                     ". Mend it and deploy again, or go back: `slipway rollback ", app, "`"));
  }
  const std::string warnings = Warnings(deployment);
  const std::string behind = StayBehind(deployment);
  const std::string without = WentWithout(deployment);
  const auto count = std::count_if(deployment.rollouts.begin(), deployment.rollouts.end(),
                                   [](const auto& rollout) { return !StaysBehind(rollout); });
  const bool all = behind.empty() && without.empty();
  outcome.state = all ? pb::DEPLOYMENT_STATE_SUCCEEDED : pb::DEPLOYMENT_STATE_PARTIAL;
  outcome.message = absl::StrCat(
      late, NameOf(deployment), " serves on ",
      all ? "every host"
          : absl::StrCat(count, " of ", deployment.rollouts.size() + deployment.left_out.size(),
                         " hosts"),
      behind.empty() ? ""
                     : absl::StrCat(". It does not on ", behind,
                                    ". Mend them, then `slipway reconcile ", app, "`"),
      without.empty() ? "" : absl::StrCat(". Left out, to catch up later: ", without),
      warnings.empty() ? "" : absl::StrCat(". Warnings: ", warnings));
  return outcome;
}

Outcome UndoneOutcome(const DeploymentRecord& deployment) {
  Outcome outcome;
  outcome.reason = deployment.reason;
  const std::string left = LeftBehind(deployment);
  const std::string before = WhatServedBefore(deployment);
  const std::string why = absl::StrCat("See `slipway why ", deployment.app, "`");
  if (!left.empty()) {
    outcome.serves =
        ServesWhereItShould(deployment) &&
        std::none_of(deployment.rollouts.begin(), deployment.rollouts.end(), StaysBehind);
    return Attention(outcome, absl::StrCat(Sentence(deployment.message), "NOT UNDONE on ", left,
                                           ". A person must look: `slipway status ", deployment.app,
                                           "` and `slipway why ", deployment.app, "`"));
  }
  const bool went_back =
      std::any_of(deployment.rollouts.begin(), deployment.rollouts.end(), WentBack);
  const bool cancelled = deployment.reason == pb::FAILURE_REASON_CANCELLED;
  outcome.state = cancelled   ? pb::DEPLOYMENT_STATE_CANCELLED
                  : went_back ? pb::DEPLOYMENT_STATE_ROLLED_BACK
                              : pb::DEPLOYMENT_STATE_FAILED;
  const char* truth = went_back                       ? "The previous release serves again, proven"
                      : SawNothingServing(deployment) ? "Nothing serves this application yet"
                                                      : "What served before was not touched";
  std::string owner;
  for (const RolloutRecord& rollout : deployment.rollouts) {
    if (IsFenced(rollout)) absl::StrAppend(&owner, rollout.host, ": ", kNewOwner, ". ");
  }
  outcome.message =
      absl::StrCat(Sentence(deployment.message), owner, truth, before.empty() ? "" : ": ", before,
                   cancelled ? "" : ". ", cancelled ? "" : why);
  return outcome;
}

pb::DeploymentState HostOutcome(const RolloutRecord& rollout, const Outcome& outcome) {
  const bool cancelled = outcome.state == pb::DEPLOYMENT_STATE_CANCELLED;
  const StepRecord* removal = FindStep(rollout, "undo:start");
  if (IsStuck(rollout) || (removal != nullptr && IsBad(*removal))) {
    return pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  }
  if (IsFenced(rollout)) {
    return FindStep(rollout, "switch") == nullptr ? pb::DEPLOYMENT_STATE_FAILED
                                                  : pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  }
  if (WentBack(rollout)) {
    return cancelled ? pb::DEPLOYMENT_STATE_CANCELLED : pb::DEPLOYMENT_STATE_ROLLED_BACK;
  }
  if (Serves(rollout)) {
    const bool good = outcome.state == pb::DEPLOYMENT_STATE_SUCCEEDED ||
                      outcome.state == pb::DEPLOYMENT_STATE_PARTIAL;
    return good && !FailedAndServes(rollout) ? pb::DEPLOYMENT_STATE_SUCCEEDED
                                             : pb::DEPLOYMENT_STATE_NEEDS_ATTENTION;
  }
  return cancelled ? pb::DEPLOYMENT_STATE_CANCELLED : pb::DEPLOYMENT_STATE_FAILED;
}

}  // namespace slipway::controller
