// slipway version: this program's version, and the controller's when it answers.
#include "common/version.h"

#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"

namespace slipway::cli {

Verb VersionVerb() {
  return {"version",
          "Versions of this program and the controller",
          {"slipway version", "slipway version --client"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto client_only = std::make_shared<bool>(false);
            app.AddFlag("--client", *client_only, "Do not ask the controller");
            return [client_only](Session& session) -> int {
              session.output.Line(absl::StrCat("slipway ", kVersion));
              if (*client_only) return kExitOk;
              const auto controller = session.Controller();
              if (!controller.ok()) return Fail(session, controller.status());
              const auto answered = (*controller)->GetServerInfo();
              if (!answered.ok()) return Fail(session, answered.status());
              session.output.Line(absl::StrCat("controller ", answered->version()));
              return kExitOk;
            };
          }};
}

}  // namespace slipway::cli
