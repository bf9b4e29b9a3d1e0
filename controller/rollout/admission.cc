#include "controller/rollout/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

#include "common/adopted_release.h"
#include "common/digest.h"
#include "common/logging.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/rollout/crew.h"
#include "controller/rollout/order.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/rollout/state.h"

namespace slipway::controller {
namespace {
// The answer to a request that found nothing to do.
constexpr char kUpToDate[] = "up_to_date";

absl::Status Offline(const std::string& app, std::vector<std::string> silent) {
  constexpr size_t kNamed = 5;
  const size_t more = silent.size() > kNamed ? silent.size() - kNamed : 0;
  silent.resize(silent.size() - more);
  return Error(
      absl::StatusCode::kFailedPrecondition, "HOSTS_OFFLINE",
      absl::StrCat("no answer from ", absl::StrJoin(silent, ", "),
                   more == 0 ? "" : absl::StrCat(" and ", more, " more")),
      "bring them back, or go on without them: --skip-offline; they catch up when they are "
      "back",
      ApplicationName(app));
}

// The release that all of them serve; empty when they differ.
std::string CommonRelease(const std::vector<xpb::ApplicationState>& states) {
  const bool common =
      !states.empty() && std::all_of(states.begin(), states.end(), [&](const auto& state) {
        return state.active_release() == states[0].active_release();
      });
  return common ? states[0].active_release() : "";
}
}  // namespace

std::string PreviousRelease(const std::vector<DeploymentRecord>& served,
                            const std::string& present) {
  std::vector<std::string> stack;
  for (auto one = served.rbegin(); one != served.rend(); ++one) {
    // What was taken over was there before everything else.
    if (one->release == kAdoptedRelease) stack.clear();
    const auto found = std::find(stack.begin(), stack.end(), one->release);
    const bool back = one->kind == pb::DEPLOYMENT_KIND_ROLLBACK && found != stack.end();
    if (back) stack.erase(found + 1, stack.end());
    if (stack.empty() || stack.back() != one->release) stack.push_back(one->release);
  }
  // A host may have been rolled back on the spot, which is no deployment.
  const auto found = std::find(stack.rbegin(), stack.rend(), present);
  if (found != stack.rend()) stack.erase(found.base(), stack.end());
  if (!stack.empty() && !present.empty() && stack.back() != present) return stack.back();
  if (stack.size() < 2) return "";
  return stack[stack.size() - 2];
}

Admission::Answers Admission::Inspect(const std::string& app,
                                      const std::vector<std::string>& hosts) {
  Answers answers(hosts.size(), absl::NotFoundError("the controller knows no such host"));
  InParallel(hosts.size(), kHostsAtATime, [&](size_t i) {
    const auto client = hosts_(hosts[i]);
    if (client == nullptr) return;
    const auto answer = client->Inspect(app, /*compare=*/false);
    if (!answer.ok()) {
      answers[i] = answer.status();
      return;
    }
    // A host that has never heard of the application says nothing, which is an answer.
    xpb::ApplicationState state;
    for (const auto& one : answer->applications()) {
      if (one.app() == app) state = one;
    }
    answers[i] = std::move(state);
  });
  return answers;
}

absl::StatusOr<Roster> Admission::Muster(const pb::ApplicationSpec& spec, const Wish& wish) {
  Roster roster;
  std::vector<Target> targets = targets_(spec);
  std::stable_partition(targets.begin(), targets.end(),
                        [](const Target& target) { return target.canary; });
  std::vector<Target> asked;
  std::vector<std::string> names;
  for (const Target& target : targets) {
    const bool wanted = wish.hosts.empty() || std::find(wish.hosts.begin(), wish.hosts.end(),
                                                        target.host) != wish.hosts.end();
    if (!wanted) continue;
    if (target.cordoned) {
      roster.left_out.push_back({target.host, pb::LEFT_OUT_REASON_CORDONED});
    } else {
      asked.push_back(target);
      names.push_back(target.host);
    }
  }
  Answers answers = Inspect(spec.app(), names);
  std::vector<std::string> silent;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      silent.push_back(absl::StrCat(names[i], " (", answers[i].status().message(), ")"));
      roster.left_out.push_back({names[i], pb::LEFT_OUT_REASON_OFFLINE});
      continue;
    }
    roster.hosts.push_back(names[i]);
    roster.canaries += asked[i].canary ? 1 : 0;
    roster.states.push_back(*std::move(answers[i]));
  }
  if (!silent.empty() && !wish.skip_offline) return Offline(spec.app(), silent);
  if (roster.hosts.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_HOSTS",
                 absl::StrCat("no host could take part: of ", targets.size(), " hosts of ",
                              spec.app(), " none is both connected and not cordoned"),
                 "`slipway hosts list` shows them", ApplicationName(spec.app()));
  }
  return roster;
}

absl::StatusOr<ReleaseRecord> Admission::AdoptedRelease(
    const std::string& app, const std::vector<xpb::ApplicationState>& states) {
  const auto warm = [](const xpb::ApplicationState& state) {
    return std::any_of(state.slots().begin(), state.slots().end(), [](const xpb::SlotState& slot) {
      return slot.release() == kAdoptedRelease && slot.running() && !slot.serving();
    });
  };
  if (states.empty() || !std::all_of(states.begin(), states.end(), warm)) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_PREVIOUS_RELEASE",
                 absl::StrCat("no release of ", app,
                              " has served before the present one, and the version that was taken "
                              "over does not stand by on every host"),
                 "name a release: `slipway rollback --to RELEASE`", ApplicationName(app));
  }
  // What serves says which hosts, ports and times it goes by.
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord serving,
                           store_.GetRelease(app, states.front().active_release()));
  ReleaseRecord release;
  release.app = app;
  release.id = kAdoptedRelease;
  release.manifest_digest = Sha256Of("");
  release.spec_revision = serving.spec_revision;
  release.description = kAdoptedDescription;
  return release;
}

absl::StatusOr<ReleaseRecord> Admission::ReleaseFor(const Wish& wish) {
  if (wish.release == kAdoptedRelease && wish.kind != pb::DEPLOYMENT_KIND_ROLLBACK) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_DEPLOYABLE",
                 absl::StrCat(kAdoptedRelease,
                              " stands for the version that was taken over, which "
                              "has no files to deploy"),
                 "`slipway deploy` deploys what is here", ApplicationName(wish.app));
  }
  if (!wish.release.empty() && wish.release != kAdoptedRelease)
    return store_.GetRelease(wish.app, wish.release);
  SLIPWAY_ASSIGN_OR_RETURN(const ApplicationRecord application, store_.GetApplication(wish.app));
  SLIPWAY_ASSIGN_OR_RETURN(const auto served, store_.ListServed(wish.app, 1000));
  std::vector<std::string> hosts;
  for (const Target& target : targets_(application.spec)) hosts.push_back(target.host);
  std::vector<xpb::ApplicationState> states;
  for (auto& answer : Inspect(wish.app, hosts)) {
    if (answer.ok()) states.push_back(*std::move(answer));
  }
  const std::string present = CommonRelease(states);
  const std::string previous =
      wish.release.empty() ? PreviousRelease(served, present) : wish.release;
  if (!previous.empty() && previous != kAdoptedRelease)
    return store_.GetRelease(wish.app, previous);
  return AdoptedRelease(wish.app, states);
}

absl::StatusOr<Admitted> Admission::Admit(const Wish& wish, const Request& request) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(wish.app, request));
  Admitted admitted;
  if (seen) {
    if (*seen == kUpToDate) return admitted;
    SLIPWAY_ASSIGN_OR_RETURN(admitted.deployment, store_.GetDeployment(wish.app, *seen));
    SLIPWAY_RETURN_IF_ERROR(Revive(*admitted.deployment));
    return admitted;
  }
  SLIPWAY_ASSIGN_OR_RETURN(const ReleaseRecord release, ReleaseFor(wish));
  SLIPWAY_ASSIGN_OR_RETURN(const pb::ApplicationSpec spec,
                           store_.GetSpec(wish.app, release.spec_revision));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(wish.app));
  SLIPWAY_ASSIGN_OR_RETURN(const Roster roster, Muster(spec, wish));
  const bool everywhere = CommonRelease(roster.states) == release.id;
  if (everywhere && running.empty() && !wish.force) {
    SLIPWAY_RETURN_IF_ERROR(store_.RememberRequest(wish.app, request, kUpToDate));
    return admitted;
  }
  if (release.id == kAdoptedRelease) {
    // Deployments name their release in the store.
    SLIPWAY_RETURN_IF_ERROR(store_.CreateRelease(release, Request(), wish.actor).status());
  }
  NewDeployment made;
  DeploymentRecord& record = made.deployment;
  record.create_time = clock_.WallNow();
  record.app = wish.app;
  record.id = DeploymentId(record.create_time, release.id);
  record.kind = wish.kind;
  record.release = release.id;
  record.commit = release.commit;
  record.description = release.description;
  record.actor = wish.actor;
  record.update_services = wish.update_services;
  record.hold_before_flip = wish.hold_before_flip;
  record.cancel_when_abandoned =
      spec.rollout().abandoned() == pb::ABANDON_POLICY_CANCEL && !wish.detached;
  record.plan_version = kPlanVersion;
  record.canaries = roster.canaries;
  record.left_out = roster.left_out;
  for (const std::string& host : roster.hosts) record.rollouts.emplace_back().host = host;
  // Above what any host has seen: a local rollback raises its host's epoch without asking us.
  for (const xpb::ApplicationState& state : roster.states) {
    made.epoch_floor = std::max(made.epoch_floor, state.epoch());
    if (record.previous_release.empty()) record.previous_release = state.active_release();
  }
  SLIPWAY_ASSIGN_OR_RETURN(const CreatedDeployment created, store_.CreateDeployment(made, request));
  if (record.cancel_when_abandoned) attendance_.Expect(wish.app, created.id);
  for (const std::string& superseded : created.superseded) engine_.NeverRan(wish.app, superseded);
  if (!created.queued) {
    engine_.Start(wish.app, created.id);
  } else {
    // What it waits for may have ended meanwhile.
    SLIPWAY_RETURN_IF_ERROR(StartQueued(wish.app));
  }
  SLIPWAY_ASSIGN_OR_RETURN(admitted.deployment, store_.GetDeployment(wish.app, created.id));
  return admitted;
}

absl::Status Admission::Revive(const DeploymentRecord& deployment) {
  if (IsTerminal(deployment.state)) return absl::OkStatus();
  if (deployment.state == pb::DEPLOYMENT_STATE_QUEUED) return StartQueued(deployment.app);
  engine_.Start(deployment.app, deployment.id);
  return absl::OkStatus();
}

absl::Status Admission::StartQueued(const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  const auto waits =
      std::find_if(queued.begin(), queued.end(), [&](const auto& one) { return one.first == app; });
  if (waits == queued.end()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const std::string running, store_.LeaseHolder(app));
  if (!running.empty()) return absl::OkStatus();
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, waits->second));
  std::vector<std::string> hosts;
  for (const RolloutRecord& rollout : record.rollouts) hosts.push_back(rollout.host);
  uint64_t floor = 0;
  for (const auto& state : Inspect(app, hosts)) {
    if (state.ok()) floor = std::max(floor, state->epoch());
  }
  SLIPWAY_ASSIGN_OR_RETURN(const std::string id, store_.StartQueued(app, floor));
  if (!id.empty()) engine_.Start(app, id);
  return absl::OkStatus();
}

absl::Status Admission::StartAllQueued() {
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  for (const auto& [app, id] : queued) SLIPWAY_RETURN_IF_ERROR(StartQueued(app));
  return absl::OkStatus();
}

absl::Status Admission::ExpectAll() {
  SLIPWAY_ASSIGN_OR_RETURN(auto unfinished, store_.ListRunning());
  SLIPWAY_ASSIGN_OR_RETURN(const auto queued, store_.ListQueued());
  unfinished.insert(unfinished.end(), queued.begin(), queued.end());
  for (const auto& [app, id] : unfinished) {
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentHead head, store_.GetDeploymentHead(app, id));
    if (head.cancel_when_abandoned) attendance_.Expect(app, id);
  }
  return absl::OkStatus();
}

void Admission::Abandon(const std::string& app, const std::string& id) {
  const auto head = store_.GetDeploymentHead(app, id);
  // A client that was told to come back with `slipway resume` has left in good order.
  if (!head.ok() || IsTerminal(head->state) || head->state == pb::DEPLOYMENT_STATE_PAUSED) return;
  const absl::Status cancelled =
      Cancel(app, id, Request(), Actor("controller", "abandoned")).status();
  LogInfo("a deployment's client is gone",
          {{"app", app},
           {"deployment", id},
           {"outcome", cancelled.ok() ? "cancelled" : std::string(cancelled.message())}});
}

absl::StatusOr<DeploymentRecord> Admission::Cancel(const std::string& app, const std::string& id,
                                                   const Request& request, const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const auto seen, store_.FindRequest(app, request));
  if (seen) return store_.GetDeployment(app, *seen);
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, id));
  const bool queued = record.state == pb::DEPLOYMENT_STATE_QUEUED;
  std::string late = CancelTooLate(record);
  if (late.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(const bool running,
                             store_.RequestCancel(app, record.id, request, actor));
    if (!running) late = "the deployment has ended";
  }
  if (!late.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "CANCEL_TOO_LATE",
                 absl::StrCat("it is too late to cancel: ", late),
                 absl::StrCat("`slipway rollback ", app, "` goes back to the previous release"),
                 DeploymentName(app, record.id));
  }
  SLIPWAY_ASSIGN_OR_RETURN(DeploymentRecord present, store_.GetDeployment(app, record.id));
  if (queued && IsTerminal(present.state)) {
    engine_.NeverRan(app, record.id);
  } else {
    engine_.Cancel(app, record.id);
  }
  return present;
}

absl::StatusOr<DeploymentRecord> Admission::Resume(const std::string& app, const std::string& id,
                                                   const Request& request, const Actor& actor) {
  SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRecord record, store_.GetDeployment(app, id));
  SLIPWAY_RETURN_IF_ERROR(store_.RequestResume(app, record.id, request, actor));
  if (record.cancel_when_abandoned) attendance_.Expect(app, record.id);
  engine_.Release(app, record.id);
  return store_.GetDeployment(app, record.id);
}

}  // namespace slipway::controller
