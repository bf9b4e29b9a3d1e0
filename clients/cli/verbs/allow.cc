// slipway allow: what an application's compose file may do although hosts refuse it by default.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string app;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

int Allow(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto present = (*controller)->GetApplication(*app);
  if (!present.ok()) return Fail(session, present.status());
  std::vector<std::string> allowances(present->allowances().begin(), present->allowances().end());
  const std::vector<std::string> before = allowances;
  for (const std::string& one : options.remove) std::erase(allowances, one);
  for (const std::string& one : options.add) {
    if (std::find(allowances.begin(), allowances.end(), one) == allowances.end()) {
      allowances.push_back(one);
    }
  }
  pb::SetAllowancesResponse answer;
  answer.mutable_allowances()->Add(allowances.begin(), allowances.end());
  if (allowances != before) {
    pb::SetAllowancesRequest request;
    request.set_name(ApplicationName(*app));
    request.mutable_allowances()->Add(allowances.begin(), allowances.end());
    request.set_request_id(client::NewRequestId());
    const auto set = (*controller)->Call(&pb::ApplicationService::Stub::SetAllowances, request);
    if (!set.ok()) return Fail(session, set.status());
    answer = *set;
  }
  if (session.output.json) {
    session.output.Json(answer);
    return kExitOk;
  }
  if (allowances.empty()) session.output.Line("nothing beyond the default policy");
  for (const std::string& one : allowances) session.output.Line(one);
  return kExitOk;
}

}  // namespace

Verb AllowVerb() {
  return {
      "allow",
      "What the compose file may do against the hosts' default policy",
      {"slipway allow --add api:privileged", "slipway allow --add agent:bind:/var/run/docker.sock",
       "slipway allow --remove api:privileged", "slipway allow gifty"},
      [](CommandLine& app) -> std::function<int(Session&)> {
        auto options = std::make_shared<Options>();
        app.AddOption("APP", options->app, "Default: the application of slipway.yaml");
        app.AddOption("--add", options->add, "SERVICE:KEY or SERVICE:KEY:VALUE");
        app.AddOption("--remove", options->remove, "One that is allowed");
        return [options](Session& session) { return Allow(session, *options); };
      }};
}

}  // namespace slipway::cli
