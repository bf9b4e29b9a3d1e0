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

int Why(Session& session, const std::string& deployment_id, const std::string& named) {
  const auto app = ApplicationOf(named, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto deployment = (*controller)->GetDeployment(DeploymentNameOf(*app, deployment_id));
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
  for (const pb::HostRollout& rollout : deployment->rollouts()) {
    output.Line(rollout.host());
    for (const pb::Step& step : rollout.steps()) ShowStep(output, step);
  }
  return kExitOk;
}

}  // namespace

Verb WhyVerb() {
  return {"why",
          "What each step of a deployment saw, and why it failed",
          {"slipway why", "slipway why 20261122-3f2c1a"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto deployment = std::make_shared<std::string>();
            auto name = std::make_shared<std::string>();
            app.AddOption("DEPLOYMENT", *deployment, "Default: the newest");
            app.AddOption("--app", *name, "Default: the application of slipway.yaml");
            return [=](Session& session) { return Why(session, *deployment, *name); };
          }};
}

Verb WatchVerb() {
  return {"watch",
          "Follow a running deployment",
          {"slipway watch", "slipway watch 20261122-3f2c1a"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto deployment = std::make_shared<std::string>();
            auto named = std::make_shared<std::string>();
            app.AddOption("DEPLOYMENT", *deployment, "Default: the newest");
            app.AddOption("--app", *named, "Default: the application of slipway.yaml");
            return [=](Session& session) {
              const auto name = ApplicationOf(*named, session.file);
              if (!name.ok()) return Fail(session, name.status());
              const auto controller = session.Controller();
              if (!controller.ok()) return Fail(session, controller.status());
              const auto found = (*controller)->GetDeployment(DeploymentNameOf(*name, *deployment));
              if (!found.ok()) return Fail(session, found.status());
              return FollowDeployment(session, **controller, *found, {});
            };
          }};
}

}  // namespace slipway::cli
