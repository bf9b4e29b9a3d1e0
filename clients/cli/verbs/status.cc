// slipway status: what runs, per application and host.
#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/spec.h"

namespace slipway::cli {
namespace {

void AddRows(const Output& output, const pb::Application& application,
             std::vector<std::vector<std::string>>& rows) {
  for (const pb::HostStatus& host : application.hosts()) {
    const std::string serving =
        host.active_release().empty()
            ? "-"
            : absl::StrCat(host.active_release(), host.active_commit().empty() ? "" : " ",
                           host.active_commit().substr(0, 8));
    const std::string warm = host.warm_release().empty()
                                 ? "-"
                                 : absl::StrCat(host.warm_release(), " for ",
                                                FormatDuration(FromProto(host.warm_left())));
    rows.push_back({application.spec().app(), host.host(),
                    host.connected() ? output.Paint(Tone::kGood, "connected")
                                     : output.Paint(Tone::kBad, "lost"),
                    SlotWord(host.active_slot()),
                    host.port() == 0 ? "-" : absl::StrCat(host.port()), serving, warm,
                    Ago(host.observe_time())});
  }
}

int Status(Session& session, const std::string& app) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ListApplicationsResponse listed;
  if (!app.empty()) {
    const auto application = (*controller)->GetApplication(app);
    if (!application.ok()) return Fail(session, application.status());
    *listed.add_applications() = *application;
  } else {
    const auto all = (*controller)->ListApplications();
    if (!all.ok()) return Fail(session, all.status());
    listed = *all;
  }
  if (session.output.json) {
    session.output.Json(listed);
    return kExitOk;
  }
  if (listed.applications().empty()) {
    session.output.Line(
        "no application yet; `slipway init` writes a slipway.yaml, `slipway deploy` deploys it");
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"APPLICATION", "HOST", "EXECUTOR", "SLOT", "PORT", "RELEASE", "WARM", "SEEN"}};
  for (const pb::Application& application : listed.applications()) {
    AddRows(session.output, application, rows);
  }
  session.output.Table(rows);
  for (const pb::Application& application : listed.applications()) {
    if (!application.running_deployment().empty()) {
      session.output.Line(absl::StrCat(application.spec().app(), ": ",
                                       ShortName(application.running_deployment()),
                                       " is under way (`slipway watch`)"));
    }
  }
  return kExitOk;
}

}  // namespace

Verb StatusVerb() {
  return {"status",
          "What runs where",
          {"slipway status", "slipway status gifty --output json"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto name = std::make_shared<std::string>();
            app.AddOption("APP", *name, "One application; default all");
            return [name](Session& session) { return Status(session, *name); };
          }};
}

}  // namespace slipway::cli
