#include "clients/cli/follow.h"

#include <csignal>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "clients/cli/github.h"
#include "clients/cli/progress.h"
#include "common/names.h"

namespace slipway::cli {
std::string DeploymentNameOf(const std::string& app, const std::string& deployment) {
  return DeploymentName(app, deployment.empty() ? "-" : deployment);
}

int FollowDeployment(Session& session, client::ControllerClient& controller,
                     const pb::Deployment& deployment, bool show_logs) {
  const std::string name = deployment.name();
  const std::string short_name = ShortName(name);
  if (!session.output.json) session.output.Line(absl::StrCat("deployment ", short_name));
  // The first Ctrl-C leaves at once: what happens on the hosts does not hang on this terminal.
  std::signal(SIGINT, [](int) {
    static const char note[] =
        "\nleft; the deployment goes on. `slipway watch` shows it, `slipway cancel` stops it\n";
    [[maybe_unused]] const ssize_t wrote = write(STDERR_FILENO, note, sizeof(note) - 1);
    _exit(kExitError);
  });
  Progress progress(session.output, show_logs || session.output.github);
  const absl::Status watched = controller.Watch(name, 0, [&](const pb::Event& event) {
    progress.Show(event);
    return true;
  });
  if (!watched.ok()) return Fail(session, watched);
  const auto ended = controller.GetDeployment(name);
  if (!ended.ok()) return Fail(session, ended.status());
  progress.ShowEnd(*ended);
  if (session.output.github) TellJob(*ended);
  if (session.output.json) session.output.JsonLine(*ended);
  return ExitCodeFor(*ended);
}

}  // namespace slipway::cli
