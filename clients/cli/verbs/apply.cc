// slipway apply: give the controller what slipway.yaml says.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

int Apply(Session& session, bool check_only) {
  const auto application = ReadApplicationFile(session.file);
  if (!application.ok()) return Fail(session, application.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ApplyApplicationRequest request;
  *request.mutable_spec() = application->spec;
  request.set_request_id(client::NewRequestId());
  request.set_validate_only(check_only);
  const auto applied = (*controller)->Apply(request);
  if (!applied.ok()) return Fail(session, applied.status());
  if (session.output.json) {
    session.output.Json(*applied);
    return kExitOk;
  }
  const std::string name = application->spec.app();
  if (check_only) {
    session.output.Line(absl::StrCat(
        name, ": the file is good", applied->changed() ? " and would change the application" : ""));
  } else {
    session.output.Line(absl::StrCat(name, applied->changed() ? ": applied" : ": unchanged",
                                     ", revision ", applied->application().spec_revision()));
    for (const pb::PlacedUpstream& placed : applied->placed_upstreams()) {
      session.output.Line(absl::StrCat(
          "  ", placed.host(), ": ",
          placed.loaded() ? absl::StrCat(placed.file(), " answers 503 until the first deployment")
                          : placed.problem()));
    }
  }
  return kExitOk;
}

}  // namespace

Verb ApplyVerb() {
  return {"apply",
          "Store what slipway.yaml says; deploys nothing",
          {"slipway apply", "slipway apply --check"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto check = std::make_shared<bool>(false);
            app.AddFlag("--check", *check, "Only check the file against the controller");
            return [check](Session& session) { return Apply(session, *check); };
          }};
}

}  // namespace slipway::cli
