// slipway hosts list|check, and slipway doctor: the same check over everything.
#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

int List(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed = (*controller)->ListHosts({});
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"HOST", "STATE", "VERSION", "SEEN", "FREE", "ADDRESS"}};
  for (const pb::Host& host : listed->hosts()) {
    rows.push_back({ShortName(host.name()),
                    host.connected()
                        ? session.output.Paint(Tone::kGood, "connected")
                        : session.output.Paint(Tone::kBad, absl::StrCat("lost: ", host.problem())),
                    host.executor_version(), Ago(host.last_seen()),
                    absl::StrCat(host.free_bytes() >> 20, " MiB"), host.address()});
  }
  session.output.Table(rows);
  return kExitOk;
}

// True when nothing is wrong.
bool ShowFindings(const Output& output, const std::string& host,
                  const pb::CheckHostResponse& checked) {
  bool good = true;
  for (const pb::Finding& finding : checked.findings()) {
    const bool ok = finding.level() == pb::FINDING_LEVEL_OK;
    const bool warning = finding.level() == pb::FINDING_LEVEL_WARNING;
    good &= ok || warning;
    output.Line(absl::StrCat(host, "  ",
                             ok        ? output.Paint(Tone::kGood, "ok     ")
                             : warning ? output.Paint(Tone::kWarning, "warning")
                                       : output.Paint(Tone::kBad, "problem"),
                             "  ", finding.subject(), ": ", finding.text()));
    if (!ok && !finding.cure().empty())
      output.Line(absl::StrCat("         cure: ", finding.cure()));
  }
  return good;
}

int Check(Session& session, const std::vector<std::string>& hosts, const std::string& app) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  bool good = true;
  for (const std::string& host : hosts) {
    pb::CheckHostRequest request;
    request.set_name(HostName(host));
    if (!app.empty()) request.set_application(ApplicationName(app));
    const auto checked = (*controller)->CheckHost(request);
    if (!checked.ok()) {
      good = false;
      Fail(session, checked.status());
      continue;
    }
    if (session.output.json) {
      session.output.Json(*checked);
      for (const pb::Finding& finding : checked->findings())
        good &= finding.level() != pb::FINDING_LEVEL_PROBLEM;
    } else {
      good &= ShowFindings(session.output, host, *checked);
    }
  }
  return good ? kExitOk : kExitError;
}

int Doctor(Session& session, const std::string& app) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto info = (*controller)->GetServerInfo();
  if (!info.ok()) return Fail(session, info.status());
  if (!session.output.json) {
    session.output.Line(absl::StrCat("controller  ", session.output.Paint(Tone::kGood, "ok     "),
                                     "  version ", info->version(), ", started ",
                                     Ago(info->start_time())));
  }
  const auto listed = (*controller)->ListHosts({});
  if (!listed.ok()) return Fail(session, listed.status());
  std::vector<std::string> hosts;
  for (const pb::Host& host : listed->hosts()) hosts.push_back(ShortName(host.name()));
  return Check(session, hosts, app);
}

}  // namespace

Verb HostsVerb() {
  return {
      "hosts",
      "List hosts; check one",
      {"slipway hosts list", "slipway hosts check web-1", "slipway hosts check web-1 --app gifty"},
      [](CLI::App& app) -> std::function<int(Session&)> {
        auto host = std::make_shared<std::string>();
        auto name = std::make_shared<std::string>();
        CLI::App* list = app.add_subcommand("list", "Every host and whether its executor answers");
        CLI::App* check =
            app.add_subcommand("check", "Docker, compose, nginx, permissions, ports, disk");
        check->add_option("HOST", *host)->required();
        check->add_option("--app", *name, "Also what this application needs");
        app.require_subcommand(1);
        return [=](Session& session) {
          return list->parsed() ? List(session) : Check(session, {*host}, *name);
        };
      }};
}

Verb DoctorVerb() {
  return {"doctor",
          "Check the controller and every host; says the cure for what is wrong",
          {"slipway doctor", "slipway doctor gifty"},
          [](CLI::App& app) -> std::function<int(Session&)> {
            auto name = std::make_shared<std::string>();
            app.add_option("APP", *name, "Also what this application needs");
            return [name](Session& session) { return Doctor(session, *name); };
          }};
}

}  // namespace slipway::cli
