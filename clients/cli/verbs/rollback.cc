// slipway rollback: back to the previous good release; instant while it is warm. And slipway
// cancel.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/follow.h"
#include "clients/cli/interruption.h"
#include "clients/cli/plan_text.h"
#include "clients/cli/verb.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string app;
  std::string to;
  bool plan_only = false;
  bool verbose = false;
  bool override_policy = false;
  bool skip_offline = false;
};

int Rollback(Session& session, const Options& options) {
  session.override_policy = options.override_policy;
  const auto subject = SubjectOf(options.app, "", session.file);
  if (!subject.ok()) return Fail(session, subject.status());
  if (!subject->deployment.empty()) {
    // It could be taken for the one to go back to, or for the one to undo.
    return Fail(session, Error(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                               "rollback takes an application, not a deployment",
                               absl::StrCat("`slipway rollback ", subject->app,
                                            "`, with `--to RELEASE` for another release")));
  }
  const std::string* app = &subject->app;
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::RollbackApplicationRequest request;
  request.set_name(ApplicationName(*app));
  if (!options.to.empty()) request.set_release(ReleaseName(*app, options.to));
  request.set_request_id(client::NewRequestId());
  request.set_validate_only(options.plan_only);
  request.set_skip_offline(options.skip_offline);
  HoldInterruptions();
  const auto created = (*controller)->Rollback(request);
  if (!created.ok()) return Fail(session, created.status());
  if (options.plan_only) return ShowPlan(session, created->plan(), false);
  FollowOptions follow;
  follow.show_logs = options.verbose;
  follow.attend = true;
  return FollowDeployment(session, **controller, created->deployment(), follow);
}

// Without a name what runs is meant, not a newer one that waits for its end.
absl::StatusOr<std::string> NameOf(client::ControllerClient& controller, const std::string& app,
                                   const std::string& deployment) {
  if (!deployment.empty()) return DeploymentNameOf(app, deployment);
  const auto application = controller.GetApplication(app);
  if (!application.ok()) return application.status();
  const std::string& running = application->running_deployment();
  return running.empty() ? DeploymentNameOf(app, deployment) : running;
}

int Cancel(Session& session, const std::string& named, const std::string& deployment) {
  const auto subject = SubjectOf(deployment, named, session.file);
  if (!subject.ok()) return Fail(session, subject.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto name = NameOf(**controller, subject->app, subject->deployment);
  if (!name.ok()) return Fail(session, name.status());
  const auto cancelled = (*controller)->Cancel(*name);
  if (!cancelled.ok()) return Fail(session, cancelled.status());
  if (session.output.json) {
    session.output.Json(*cancelled);
  } else {
    session.output.Line(absl::StrCat(ShortName(cancelled->name()),
                                     " was asked to stop; `slipway watch` shows how it ends"));
  }
  return kExitOk;
}

int Resume(Session& session, const std::string& named, const std::string& deployment) {
  const auto subject = SubjectOf(deployment, named, session.file);
  if (!subject.ok()) return Fail(session, subject.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto name = NameOf(**controller, subject->app, subject->deployment);
  if (!name.ok()) return Fail(session, name.status());
  const auto resumed = (*controller)->Resume(*name);
  if (!resumed.ok()) return Fail(session, resumed.status());
  FollowOptions follow;
  follow.attend = true;
  return FollowDeployment(session, **controller, *resumed, follow, resumed->last_event());
}

// A verb of --app and DEPLOYMENT.
std::function<std::function<int(Session&)>(CommandLine&)> ForOneDeployment(
    int (*verb)(Session&, const std::string& named, const std::string& deployment)) {
  return [verb](CommandLine& app) -> std::function<int(Session&)> {
    auto deployment = std::make_shared<std::string>();
    auto named = std::make_shared<std::string>();
    app.AddOption("DEPLOYMENT", *deployment,
                  "Or an application. Default: the one that runs, else the newest");
    app.AddOption("--app", *named, "Default: the application of slipway.yaml");
    return [=](Session& session) { return verb(session, *named, *deployment); };
  };
}

}  // namespace

Verb RollbackVerb() {
  return {"rollback",
          "Back to the previous good release; instant while it is warm",
          {"slipway rollback", "slipway rollback --to 9b01cd3f2c1a", "slipway rollback --plan"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddOption("APP", options->app, "Default: the application of slipway.yaml");
            app.AddOption("--to", options->to, "A release id; `slipway history` has them");
            app.AddFlag("--override-policy", options->override_policy,
                        "As an operator: whatever the ref policy says");
            app.AddFlag("--plan", options->plan_only, "Only show what it would change");
            app.AddFlag("--skip-offline", options->skip_offline,
                        "Go on without hosts that do not answer; they catch up later");
            app.AddFlag("--verbose,-v", options->verbose, "Show what compose prints");
            return [options](Session& session) { return Rollback(session, *options); };
          }};
}

Verb CancelVerb() {
  return {"cancel",
          "Stop a running deployment and undo it",
          {"slipway cancel", "slipway cancel 20261122-3f2c1a"},
          ForOneDeployment(Cancel)};
}

Verb AbortVerb() {
  return {"abort",
          "Take back a deployment that waits for a person; the same as cancel",
          {"slipway abort", "slipway abort 20261122-3f2c1a"},
          ForOneDeployment(Cancel)};
}

Verb ResumeVerb() {
  return {"resume",
          "Let a deployment that waits for a person go on, and show it to its end",
          {"slipway resume", "slipway resume 20261122-3f2c1a"},
          ForOneDeployment(Resume)};
}

}  // namespace slipway::cli
