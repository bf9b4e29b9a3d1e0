#include "clients/cli/follow.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "clients/cli/github.h"
#include "clients/cli/interruption.h"
#include "clients/cli/progress.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

JobReport Report(client::ControllerClient& controller, const pb::Deployment& ended) {
  JobReport report;
  report.deployment = ended;
  report.repository_url = RepositoryUrl();
  if (!ended.previous_release().empty()) {
    const auto previous = controller.GetRelease(ended.previous_release());
    if (previous.ok()) report.previous_commit = previous->commit();
  }
  const auto ref = ParseDeploymentName(ended.name());
  const auto application = ref.ok() ? controller.GetApplication(ref->app) : ref.status();
  if (application.ok()) report.application = *application;
  return report;
}

// Owns the signals from now on.
std::optional<InterruptionHandler> TakeInterruptions(Session& session,
                                                     client::ControllerClient& controller,
                                                     const std::string& name, bool cancel) {
  if (!cancel) {
    ObeyInterruptions();
    return std::nullopt;
  }
  return std::optional<InterruptionHandler>(std::in_place, [&session, &controller, name] {
    const auto asked = controller.Cancel(name);
    if (asked.ok()) {
      session.output.Error(absl::StrCat("\n", ShortName(name), " was asked to stop"));
    } else {
      Fail(session, asked.status());
    }
  });
}

}  // namespace

std::string DeploymentNameOf(const std::string& app, const std::string& deployment) {
  return DeploymentName(app, deployment.empty() ? "-" : deployment);
}

int FollowDeployment(Session& session, client::ControllerClient& controller,
                     const pb::Deployment& deployment, const FollowOptions& options,
                     uint64_t after) {
  const std::string name = deployment.name();
  if (session.output.github) TellJobOfBegin(deployment);
  const auto handler = TakeInterruptions(session, controller, name, options.cancel_on_signal);
  if (!session.output.json) session.output.Line(absl::StrCat("deployment ", ShortName(name)));
  Progress progress(session.output, options.show_logs || session.output.github,
                    deployment.rollouts_size());
  const absl::Status watched =
      controller.Watch(name, after, options.attend, [&](const pb::Event& event) {
        progress.Show(event);
        if (event.state().state() != pb::DEPLOYMENT_STATE_PAUSED) return true;
        // Of an earlier time, unless it still waits.
        const auto now = controller.GetDeployment(name);
        return !now.ok() || now->state() != pb::DEPLOYMENT_STATE_PAUSED;
      });
  if (!watched.ok()) return Fail(session, watched);
  const auto ended = controller.GetDeployment(name);
  if (!ended.ok()) return Fail(session, ended.status());
  progress.ShowEnd(*ended);
  if (session.output.github) TellJobOfEnd(Report(controller, *ended));
  if (session.output.json) session.output.JsonLine(*ended);
  return ExitCodeFor(*ended);
}

}  // namespace slipway::cli
