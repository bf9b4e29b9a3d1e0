// slipway hosts list|check, and slipway doctor: the same check over everything.
#include "clients/cli/hosts.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/names.h"

namespace slipway::cli {
namespace {

std::string StateText(const Output& output, const pb::Host& host) {
  std::string state = host.connected()
                          ? output.Paint(Tone::kGood, "connected")
                          : output.Paint(Tone::kBad, absl::StrCat("lost: ", host.problem()));
  if (host.has_cordon()) {
    absl::StrAppend(
        &state, ", ",
        output.Paint(Tone::kWarning,
                     absl::StrCat("cordoned", host.cordon().reason().empty() ? "" : ": ",
                                  host.cordon().reason())));
  }
  return state;
}

std::string LabelsText(const pb::Host& host) {
  // A map of protobuf has no order.
  const std::map<std::string, std::string> labels(host.labels().begin(), host.labels().end());
  return labels.empty() ? "-" : absl::StrJoin(labels, ",", absl::PairFormatter("="));
}

int List(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto listed = (*controller)->ListHosts();
  if (!listed.ok()) return Fail(session, listed.status());
  if (session.output.json) {
    session.output.Json(*listed);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"HOST", "STATE", "VERSION", "SEEN", "FREE", "LABELS", "ADDRESS"}};
  for (const pb::Host& host : listed->hosts()) {
    rows.push_back({ShortName(host.name()), StateText(session.output, host),
                    host.executor_version(), Ago(host.last_seen()),
                    absl::StrCat(host.free_bytes() >> 20, " MiB"), LabelsText(host),
                    host.address()});
  }
  session.output.Table(rows);
  return kExitOk;
}

// True when nothing is wrong.
bool ShowFindings(const Output& output, const std::string& host,
                  const google::protobuf::RepeatedPtrField<pb::Finding>& findings) {
  bool good = true;
  for (const pb::Finding& finding : findings) {
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

}  // namespace

int CheckHosts(Session& session, const std::vector<std::string>& hosts, const std::string& app) {
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
      good &= ShowFindings(session.output, host, checked->findings());
    }
  }
  return good ? kExitOk : kExitError;
}

namespace {

int Doctor(Session& session, const std::string& app) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto info = (*controller)->GetServerInfo();
  if (!info.ok()) return Fail(session, info.status());
  bool good = true;
  if (session.output.json) {
    session.output.Json(*info);
    for (const pb::Finding& finding : info->findings()) {
      good &= finding.level() != pb::FINDING_LEVEL_PROBLEM;
    }
  } else {
    session.output.Line(absl::StrCat(
        "controller  ", session.output.Paint(Tone::kGood, "ok     "), "  version ", info->version(),
        ", started ", Ago(info->start_time()), info->leads() ? "" : ", stands by",
        info->leader_address().empty() ? ""
                                       : absl::StrCat("; ", info->leader_address(), " leads")));
    good = ShowFindings(session.output, "controller", info->findings());
  }
  const auto listed = (*controller)->ListHosts();
  if (!listed.ok()) return Fail(session, listed.status());
  std::vector<std::string> hosts;
  // Those that cannot be asked have been named already.
  for (const pb::Host& host : listed->hosts()) {
    if (host.connected()) hosts.push_back(ShortName(host.name()));
  }
  const int checked = CheckHosts(session, hosts, app);
  return good ? checked : kExitError;
}

}  // namespace

Verb HostsVerb() {
  return {
      "hosts",
      "Add, list, check, upgrade, cordon, drain and remove hosts",
      {"slipway hosts add web-1 --ssh deploy@203.0.113.7", "slipway hosts list",
       "slipway hosts check web-1 --app gifty", "slipway hosts drain web-1 --reason 'new kernel'",
       "slipway hosts uncordon web-1", "slipway hosts upgrade web-1 --ssh deploy@203.0.113.7",
       "slipway hosts remove web-1"},
      [](CommandLine& app) -> std::function<int(Session&)> {
        auto options = std::make_shared<HostsOptions>();
        CommandLine* list = app.AddCommand("list", "Every host and whether its executor answers");
        CommandLine* check =
            app.AddCommand("check", "Docker, compose, nginx, permissions, ports, disk");
        check->AddOption("HOST", options->host).Required();
        check->AddOption("--app", options->app, "Also what this application needs");
        CommandLine* add = app.AddCommand(
            "add", "Install an executor over SSH and make it known; again changes nothing");
        CommandLine* upgrade = app.AddCommand(
            "upgrade", "Install this version's executor; what serves is not touched");
        CommandLine* remove =
            app.AddCommand("remove", "Forget a host; its applications go on running");
        CommandLine* cordon = app.AddCommand("cordon", "Leave it out of deployments from now on");
        CommandLine* drain =
            app.AddCommand("drain", "Cordon it, and wait until no deployment is under way there");
        CommandLine* uncordon =
            app.AddCommand("uncordon", "Let it take part again; it catches up by itself");
        for (CommandLine* command : {cordon, drain, uncordon}) {
          command->AddOption("HOST", options->host).Required();
          if (command == uncordon) continue;
          command->AddOption("--reason", options->reason, "For those who wonder");
        }
        for (CommandLine* command : {add, upgrade, remove}) {
          command->AddOption("HOST", options->host, "Its name from now on").Required();
          CommandLine::Option ssh = command->AddOption(
              "--ssh", options->ssh,
              command == remove ? "Also take the executor off the host: USER@HOST[:PORT]"
                                : "Where to install it: USER@HOST[:PORT], root or with sudo");
          if (command == upgrade) ssh.Required();
          if (command == remove) continue;
          command->AddOption("--executor", options->executor,
                             "The slipway-executor to install; default the one beside slipway");
          command
              ->AddOption("--tls", options->tls_port,
                          "Let it listen on this port, and reach it by tls:// instead of ssh://")
              .Range(1, 65535);
        }
        add->AddOption("--address", options->address,
                       "Where an executor runs already: unix://, ssh:// or tls://");
        add->AddOption("--label", options->labels, "KEY=VALUE, as often as wanted");
        app.RequireCommand();
        return [=](Session& session) {
          if (add->Given()) return AddHost(session, *options);
          if (upgrade->Given()) return UpgradeHost(session, *options);
          if (remove->Given()) return RemoveHost(session, *options);
          if (cordon->Given()) return CordonHost(session, *options);
          if (drain->Given()) return DrainHost(session, *options);
          if (uncordon->Given()) return UncordonHost(session, *options);
          return list->Given() ? List(session) : CheckHosts(session, {options->host}, options->app);
        };
      }};
}

Verb DoctorVerb() {
  return {"doctor",
          "Check the controller and every host; says the cure for what is wrong",
          {"slipway doctor", "slipway doctor gifty"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto name = std::make_shared<std::string>();
            app.AddOption("APP", *name, "Also what this application needs");
            return [name](Session& session) { return Doctor(session, *name); };
          }};
}

}  // namespace slipway::cli
