// slipway check report|list: what policy.required_checks asks for.
#include <filesystem>

#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/verb.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

struct Options {
  std::string app;
  std::string name;
  std::string commit;
  std::string details;
  bool passed = false;
  bool failed = false;
};

std::string CommitOf(const Session& session, const Options& options) {
  if (!options.commit.empty()) return options.commit;
  return ReadCommit(FolderOf(session.file)).id;
}

int Report(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ReportCheckRequest request;
  request.set_parent(ApplicationName(*app));
  request.mutable_check()->set_commit(CommitOf(session, options));
  request.mutable_check()->set_check(options.name);
  request.mutable_check()->set_passed(options.passed);
  request.mutable_check()->set_details(options.details);
  request.set_request_id(client::NewRequestId());
  const auto reported = (*controller)->Call(&pb::ReleaseService::Stub::ReportCheck, request);
  if (!reported.ok()) return Fail(session, reported.status());
  if (session.output.json) {
    session.output.Json(*reported);
  } else {
    session.output.Line(absl::StrCat(options.name, " of ", reported->check().commit(), ": ",
                                     options.passed ? "passed" : "failed"));
  }
  return kExitOk;
}

int List(Session& session, const Options& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ListChecksRequest request;
  request.set_parent(ApplicationName(*app));
  request.set_commit(CommitOf(session, options));
  const auto listed = (*controller)->Call(&pb::ReleaseService::Stub::ListChecks, request);
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {{"CHECK", "STATE", "BY", "WHEN", "DETAILS"}};
  for (const pb::Check& check : listed->checks()) {
    rows.push_back({check.check(),
                    check.passed() ? session.output.Paint(Tone::kGood, "passed")
                                   : session.output.Paint(Tone::kBad, "failed"),
                    check.reporter(), Ago(check.report_time()), check.details()});
  }
  session.output.Table(rows);
  return kExitOk;
}

}  // namespace

Verb CheckVerb() {
  return {"check",
          "Report how a check of a commit ended; deployments may require it",
          {"slipway check report tests --passed",
           "slipway check report tests --failed --details URL", "slipway check list"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddOption("--app", options->app, "Default: the application of slipway.yaml");
            app.AddOption("--commit", options->commit, "Default: GITHUB_SHA, else git's HEAD");
            CommandLine* report = app.AddCommand("report", "The newest report of a name counts");
            report->AddOption("NAME", options->name).Required();
            report->AddChoice({{"--passed", &options->passed}, {"--failed", &options->failed}});
            report->AddOption("--details", options->details, "Where its output is");
            app.AddCommand("list", "What was reported of the commit");
            app.RequireCommand();
            return [=](Session& session) {
              return report->Given() ? Report(session, *options) : List(session, *options);
            };
          }};
}

}  // namespace slipway::cli
