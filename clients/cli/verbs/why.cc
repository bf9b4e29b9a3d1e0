// slipway why: the evidence of each step of a deployment.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "clients/cli/application_file.h"
#include "clients/cli/follow.h"
#include "clients/cli/progress.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/enum_word.h"

namespace slipway::cli {
namespace {

void ShowStep(const Output& output, const pb::Step& step) {
  if (step.state() == pb::STEP_STATE_PLANNED) return;
  const Tone tone = step.state() == pb::STEP_STATE_DONE     ? Tone::kGood
                    : step.state() == pb::STEP_STATE_FAILED ? Tone::kBad
                                                            : Tone::kWarning;
  output.Line(absl::StrFormat("  %-16s %s %8s  %s", step.name(),
                              output.Paint(tone, absl::StrFormat("%-10s", EnumWord(step.state()))),
                              FormatDuration(FromProto(step.duration())), step.summary()));
  for (const std::string& line : Explain(step)) {
    output.Line(output.Paint(Tone::kQuiet, absl::StrCat("      ", line)));
  }
}

void ShowHost(const Output& output, const pb::HostRollout& rollout) {
  output.Line(rollout.host());
  for (const pb::Step& step : rollout.steps()) ShowStep(output, step);
}

// The hosts on which something failed, some of them in full, and how each step went on all.
void ShowFleet(const Output& output, const pb::Deployment& deployment) {
  int failed = 0;
  for (const pb::HostRollout& rollout : deployment.rollouts()) {
    if (HasFailed(rollout) && ++failed <= kFewHosts) ShowHost(output, rollout);
  }
  if (failed > kFewHosts) {
    output.Line(absl::StrCat("and ", failed - kFewHosts, " more hosts with a failure"));
  }
  for (const Tally& tally : TalliesOf(deployment)) {
    output.Line(tally.Line(deployment.rollouts_size()));
  }
  output.Line("one host: slipway why --host HOST");
}

int Why(Session& session, const std::string& deployment_id, const std::string& named,
        const std::string& only) {
  const auto subject = SubjectOf(deployment_id, named, session.file);
  if (!subject.ok()) return Fail(session, subject.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto deployment =
      (*controller)->GetDeployment(DeploymentNameOf(subject->app, subject->deployment));
  if (!deployment.ok()) return Fail(session, deployment.status());
  if (session.output.json) {
    session.output.Json(*deployment);
    return kExitOk;
  }
  const Output& output = session.output;
  output.Line(
      absl::StrCat(ShortName(deployment->name()), " ", EnumWord(deployment->kind()), " of ",
                   ShortName(deployment->release()), ": ",
                   output.Paint(StateTone(deployment->state()), StateWord(deployment->state()))));
  if (deployment->reason() != pb::FAILURE_REASON_UNSPECIFIED) {
    output.Line(absl::StrCat("reason: ", EnumWord(deployment->reason())));
  }
  if (!deployment->message().empty()) output.Line(deployment->message());
  if (only.empty() && deployment->rollouts_size() > kFewHosts) {
    ShowFleet(output, *deployment);
    return kExitOk;
  }
  bool any = only.empty();
  for (const pb::HostRollout& rollout : deployment->rollouts()) {
    if (!only.empty() && rollout.host() != only) continue;
    any = true;
    ShowHost(output, rollout);
  }
  if (!any) {
    output.Error(absl::StrCat("slipway: ", only, " has no part in this deployment"));
    return kExitRefused;
  }
  return kExitOk;
}

}  // namespace

Verb WhyVerb() {
  return {"why",
          "What each step of a deployment saw, and why it failed",
          {"slipway why", "slipway why gifty", "slipway why 20261122-3f2c1a",
           "slipway why --host web-17"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto deployment = std::make_shared<std::string>();
            auto name = std::make_shared<std::string>();
            app.AddOption("DEPLOYMENT", *deployment,
                          "Or an application: its newest. Default: the newest of slipway.yaml's");
            auto host = std::make_shared<std::string>();
            app.AddOption("--app", *name, "Default: the application of slipway.yaml");
            app.AddOption("--host", *host, "One host; default all, of a large fleet what failed");
            return [=](Session& session) { return Why(session, *deployment, *name, *host); };
          }};
}

Verb WatchVerb() {
  return {"watch",
          "Follow a running deployment",
          {"slipway watch", "slipway watch 20261122-3f2c1a"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto deployment = std::make_shared<std::string>();
            auto named = std::make_shared<std::string>();
            app.AddOption("DEPLOYMENT", *deployment,
                          "Or an application: its newest. Default: the newest of slipway.yaml's");
            app.AddOption("--app", *named, "Default: the application of slipway.yaml");
            return [=](Session& session) {
              const auto subject = SubjectOf(*deployment, *named, session.file);
              if (!subject.ok()) return Fail(session, subject.status());
              const auto controller = session.Controller();
              if (!controller.ok()) return Fail(session, controller.status());
              const auto found =
                  (*controller)->GetDeployment(DeploymentNameOf(subject->app, subject->deployment));
              if (!found.ok()) return Fail(session, found.status());
              return FollowDeployment(session, **controller, *found, {});
            };
          }};
}

}  // namespace slipway::cli
