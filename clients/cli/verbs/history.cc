// slipway history: deployments of an application, newest first; with --audit the hash chain.
#include "clients/cli/history.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

int Deployments(Session& session, client::ControllerClient& controller, const std::string& app,
                int limit) {
  pb::ListDeploymentsRequest request;
  request.set_parent(ApplicationName(app));
  request.set_page_size(limit);
  const auto listed = controller.ListDeployments(request);
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"DEPLOYMENT", "KIND", "OUTCOME", "RELEASE", "COMMIT", "BY", "WHEN", "TOOK", "WHAT"}};
  for (const pb::Deployment& deployment : listed->deployments()) {
    const bool ended = deployment.has_end_time();
    rows.push_back(
        {ShortName(deployment.name()), EnumWord(deployment.kind()),
         session.output.Paint(StateTone(deployment.state()), StateWord(deployment.state())),
         ShortName(deployment.release()),
         deployment.commit().empty() ? "-" : deployment.commit().substr(0, 8), deployment.actor(),
         Ago(deployment.create_time()),
         ended ? FormatDuration(FromProto(deployment.end_time()) -
                                FromProto(deployment.create_time()))
               : "-",
         deployment.description().empty() ? deployment.message().substr(0, 60)
                                          : deployment.description()});
  }
  session.output.Table(rows);
  return kExitOk;
}

struct Options {
  std::string app;
  int limit = 20;
  bool audit = false;
};

int History(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  if (options.audit) return ListHistory(session, *app, options.limit);
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  return Deployments(session, **controller, *app, options.limit);
}

}  // namespace

int ListHistory(Session& session, const std::string& app, int limit) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ListHistoryRequest request;
  if (!app.empty()) request.set_parent(ApplicationName(app));
  request.set_page_size(limit);
  const auto listed = (*controller)->ListHistory(request);
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"#", "WHEN", "WHO", "DID", "TO", "OUTCOME", "FROM", "HASH"}};
  for (const pb::HistoryEntry& entry : listed->entries()) {
    rows.push_back({absl::StrCat(entry.sequence()), Ago(entry.time()), entry.actor(),
                    entry.action(), entry.subject(), entry.outcome(),
                    entry.origin().empty() ? "-" : entry.origin(),
                    absl::BytesToHexString(entry.hash()).substr(0, 12)});
  }
  session.output.Table(rows);
  return kExitOk;
}

Verb HistoryVerb() {
  return {"history",
          "Deployments, newest first",
          {"slipway history", "slipway history gifty --limit 50", "slipway history --audit"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddOption("APP", options->app, "Default: the application of slipway.yaml");
            app.AddOption("--limit,-n", options->limit, "How many").Range(1, 1000);
            app.AddFlag("--audit", options->audit, "Show the hash chain instead");
            return [options](Session& session) { return History(session, *options); };
          }};
}

}  // namespace slipway::cli
