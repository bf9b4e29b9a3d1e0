// slipway status: what runs, per application and host.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "clients/cli/fleet_progress.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/spec.h"

namespace slipway::cli {
namespace {

std::string ReleaseText(const pb::HostStatus& host) {
  if (host.active_release().empty()) return "-";
  return absl::StrCat(host.active_release(), host.active_commit().empty() ? "" : " ",
                      host.active_commit().substr(0, 8));
}

void AddRows(const Output& output, const pb::Application& application,
             std::vector<std::vector<std::string>>& rows) {
  for (const pb::HostStatus& host : application.hosts()) {
    const std::string warm = host.warm_release().empty()
                                 ? "-"
                                 : absl::StrCat(host.warm_release(), " for ",
                                                FormatDuration(FromProto(host.warm_left())));
    rows.push_back({application.spec().app(), host.host(),
                    host.connected() ? output.Paint(Tone::kGood, "connected")
                                     : output.Paint(Tone::kBad, "lost"),
                    SlotWord(host.active_slot()),
                    host.port() == 0 ? "-" : absl::StrCat(host.port()), ReleaseText(host), warm,
                    Ago(host.observe_time())});
  }
}

// Of a large fleet a row for all hosts that do the same; who is lost comes first, the fewest next.
void AddFleetRows(const Output& output, const pb::Application& application,
                  std::vector<std::vector<std::string>>& rows) {
  using Same = std::pair<bool, std::string>;
  std::map<Same, std::vector<const pb::HostStatus*>> groups;
  for (const pb::HostStatus& host : application.hosts()) {
    groups[{host.connected(), host.active_release()}].push_back(&host);
  }
  std::vector<std::pair<Same, std::vector<const pb::HostStatus*>>> sorted(groups.begin(),
                                                                          groups.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.first, a.second.size()) < std::pair(b.first.first, b.second.size());
  });
  for (const auto& [same, hosts] : sorted) {
    std::string names = absl::StrCat(hosts.size(), " hosts");
    if (hosts.size() <= kFewHosts) {
      names = absl::StrJoin(hosts, " ", [](std::string* out, const pb::HostStatus* host) {
        out->append(host->host());
      });
    }
    const auto warm = std::count_if(hosts.begin(), hosts.end(), [](const pb::HostStatus* host) {
      return !host->warm_release().empty();
    });
    rows.push_back(
        {application.spec().app(), names,
         same.first ? output.Paint(Tone::kGood, "connected") : output.Paint(Tone::kBad, "lost"), "",
         "", ReleaseText(*hosts.front()), warm == 0 ? "-" : absl::StrCat("on ", warm), ""});
  }
}

// Of hosts that are not as they ought to be; many with the same to say in one line.
void ShowStandings(const Output& output, const pb::Application& application) {
  std::map<std::pair<pb::HostStanding, std::string>, std::vector<std::string>> groups;
  for (const pb::HostStatus& host : application.hosts()) {
    if (host.standing() == pb::HOST_STANDING_UNSPECIFIED ||
        host.standing() == pb::HOST_STANDING_CURRENT) {
      continue;
    }
    groups[{host.standing(), host.standing_text()}].push_back(host.host());
  }
  for (const auto& [same, hosts] : groups) {
    const bool unknown = same.first == pb::HOST_STANDING_UNKNOWN;
    output.Line(
        absl::StrCat(application.spec().app(), ": ",
                     hosts.size() <= kFewHosts ? absl::StrJoin(hosts, ", ")
                                               : absl::StrCat(hosts.size(), " hosts"),
                     " ", output.Paint(unknown ? Tone::kWarning : Tone::kBad, EnumWord(same.first)),
                     ": ", same.second));
  }
}

int Status(Session& session, const std::string& app, bool every_host) {
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
    const bool few = every_host || application.hosts_size() <= kFewHosts;
    (few ? AddRows : AddFleetRows)(session.output, application, rows);
  }
  session.output.Table(rows);
  for (const pb::Application& application : listed.applications()) {
    ShowStandings(session.output, application);
    if (!application.running_deployment().empty()) {
      session.output.Line(absl::StrCat(application.spec().app(), ": ",
                                       ShortName(application.running_deployment()),
                                       " is under way (`slipway watch`)"));
    }
    if (!application.queued_deployment().empty()) {
      session.output.Line(absl::StrCat(application.spec().app(), ": ",
                                       ShortName(application.queued_deployment()), " waits"));
    }
  }
  return kExitOk;
}

}  // namespace

Verb StatusVerb() {
  return {"status",
          "What runs where",
          {"slipway status", "slipway status gifty --output json", "slipway status gifty --hosts"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto name = std::make_shared<std::string>();
            app.AddOption("APP", *name, "One application; default all");
            auto every_host = std::make_shared<bool>(false);
            app.AddFlag("--hosts", *every_host, "A row per host, however many there are");
            return [=](Session& session) { return Status(session, *name, *every_host); };
          }};
}

}  // namespace slipway::cli
