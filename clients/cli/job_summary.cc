#include "clients/cli/job_summary.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/fleet_progress.h"
#include "clients/cli/output.h"
#include "clients/cli/progress.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/spec.h"

namespace slipway::cli {
namespace {

// One cell of a table, or a stretch of a line.
std::string Cell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"},
                                    {"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"|", "\\|"},
                                    {"`", "\\`"},
                                    {"*", "\\*"},
                                    {"_", "\\_"},
                                    {"[", "\\["},
                                    {"]", "\\]"},
                                    {"\r", ""},
                                    {"\n", " "}});
}

std::string Row(const std::vector<std::string>& cells) {
  return absl::StrCat("| ", absl::StrJoin(cells, " | "), " |\n");
}

std::string Head(const std::vector<std::string>& names) {
  return absl::StrCat("\n", Row(names), Row(std::vector<std::string>(names.size(), "---")));
}

// A block of plain text, whatever is in it: its fence is longer than any in the text.
std::string Block(const std::vector<std::string>& lines) {
  size_t longest = 2;
  for (const std::string& line : lines) {
    size_t run = 0;
    for (const char c : line) longest = std::max(longest, c == '`' ? ++run : (run = 0));
  }
  const std::string fence(longest + 1, '`');
  return absl::StrCat(fence, "\n", absl::StrJoin(lines, "\n"), "\n", fence, "\n");
}

std::string Folded(absl::string_view title, const std::vector<std::string>& lines, bool open) {
  return absl::StrCat("\n<details", open ? " open" : "", "><summary>", Cell(title),
                      "</summary>\n\n", Block(lines), "\n</details>\n");
}

bool IsWholeHash(const std::string& commit) {
  return commit.size() == 40 && std::all_of(commit.begin(), commit.end(), absl::ascii_isxdigit);
}

std::string CommitLink(const JobReport& report, const std::string& commit) {
  if (commit.empty()) return "-";
  const std::string text = Cell(IsWholeHash(commit) ? commit.substr(0, 8) : commit);
  if (report.repository_url.empty() || !IsWholeHash(commit)) return text;
  return absl::StrCat("[", text, "](", report.repository_url, "/commit/", commit, ")");
}

// Of a large fleet, some of the hosts on which something failed.
std::vector<const pb::HostRollout*> Told(const pb::Deployment& deployment) {
  const bool few = deployment.rollouts_size() <= kFewHosts;
  std::vector<const pb::HostRollout*> told;
  for (const pb::HostRollout& rollout : deployment.rollouts()) {
    if (few || (HasFailed(rollout) && told.size() < kFewHosts)) told.push_back(&rollout);
  }
  return told;
}

// Of a large fleet: on how many hosts which release.
std::string WhatRunsOnMany(const pb::Application& application, const JobReport& report) {
  std::map<std::pair<std::string, std::string>, int> hosts;
  for (const pb::HostStatus& host : application.hosts()) {
    ++hosts[{host.active_release(), host.active_commit()}];
  }
  std::string part = absl::StrCat("\n#### What runs now\n", Head({"hosts", "release", "commit"}));
  for (const auto& [release, count] : hosts) {
    absl::StrAppend(&part,
                    Row({absl::StrCat(count), release.first.empty() ? "-" : Cell(release.first),
                         CommitLink(report, release.second)}));
  }
  return part;
}

std::string WhatRuns(const pb::Application& application, const JobReport& report) {
  if (application.hosts_size() > kFewHosts) return WhatRunsOnMany(application, report);
  std::string part = absl::StrCat("\n#### What runs now\n",
                                  Head({"host", "slot", "port", "release", "commit", "warm"}));
  for (const pb::HostStatus& host : application.hosts()) {
    absl::StrAppend(&part, Row({Cell(host.host()), SlotWord(host.active_slot()),
                                host.port() == 0 ? "-" : absl::StrCat(host.port()),
                                host.active_release().empty() ? "-" : Cell(host.active_release()),
                                CommitLink(report, host.active_commit()),
                                host.warm_release().empty()
                                    ? "-"
                                    : absl::StrCat(Cell(host.warm_release()), " for ",
                                                   FormatDuration(FromProto(host.warm_left())))}));
  }
  return part;
}

using Words = google::protobuf::RepeatedPtrField<std::string>;

// One row for what a step changed on a host; none for nothing.
std::string Change(const std::string& host, absl::string_view what, const Words& names) {
  if (names.empty()) return "";
  return Row({Cell(host), std::string(what), Cell(absl::StrJoin(names, ", "))});
}

std::string Changes(const std::string& host, const pb::Evidence& evidence) {
  const pb::BuildEvidence& build = evidence.build();
  const pb::SharedEvidence& shared = evidence.shared();
  const pb::WorkersEvidence& workers = evidence.workers();
  return absl::StrCat(
      Change(host, "images built", build.built_images()),
      Change(host, "images pulled", build.pulled_images()),
      Change(host, "images as before", build.reused_images()),
      Change(host, "shared services started", shared.started_services()),
      Change(host, "shared services replaced", shared.updated_services()),
      Change(host, "shared services defined anew, and left as they are", shared.changed_services()),
      Change(host, "workers replaced", workers.replaced()),
      Change(host, "workers as before", workers.unchanged()),
      Change(host, "workers put back", workers.restored()));
}

std::string WhatChanged(const JobReport& report) {
  const std::string& before = report.previous_commit;
  const std::string& now = report.deployment.commit();
  std::string part = "\n#### What changed\n";
  if (!report.repository_url.empty() && IsWholeHash(before) && IsWholeHash(now) && before != now) {
    absl::StrAppend(&part, "\n[", before.substr(0, 8), " to ", now.substr(0, 8), "](",
                    report.repository_url, "/compare/", before, "...", now, ")\n");
  } else if (!report.deployment.previous_release().empty()) {
    absl::StrAppend(&part, "\nfrom release ", Cell(ShortName(report.deployment.previous_release())),
                    ", commit ", CommitLink(report, before), "\n");
  } else {
    absl::StrAppend(&part, "\nnothing of this application served before\n");
  }
  std::string rows;
  for (const pb::HostRollout* rollout : Told(report.deployment)) {
    for (const pb::Step& step : rollout->steps()) {
      absl::StrAppend(&rows, Changes(rollout->host(), step.evidence()));
    }
  }
  return rows.empty() ? part : absl::StrCat(part, Head({"host", "", ""}), rows);
}

std::string Timeline(const pb::Deployment& deployment) {
  std::string part = "\n#### Timeline\n";
  if (deployment.rollouts_size() > kFewHosts) {
    absl::StrAppend(&part, Head({"step", "hosts", "failed", "slowest", "took"}));
    for (const Tally& tally : TalliesOf(deployment)) {
      absl::StrAppend(&part,
                      Row({Cell(tally.step), absl::StrCat(tally.good), absl::StrCat(tally.bad),
                           Cell(tally.slowest_host), FormatDuration(tally.slowest)}));
    }
    if (Told(deployment).empty()) return part;
    absl::StrAppend(&part, "\n");
  }
  absl::StrAppend(&part, Head({"at", "host", "step", "outcome", "took", "seen"}));
  for (const pb::HostRollout* rollout : Told(deployment)) {
    for (const pb::Step& step : rollout->steps()) {
      const auto at = FromProto(step.start_time()) - FromProto(deployment.create_time());
      absl::StrAppend(&part,
                      Row({step.has_start_time() ? absl::StrCat("+", FormatDuration(at)) : "-",
                           Cell(rollout->host()), Cell(step.name()), EnumWord(step.state()),
                           FormatDuration(FromProto(step.duration())), Cell(step.summary())}));
    }
  }
  return part;
}

std::string Evidence(const pb::Deployment& deployment) {
  std::string part;
  for (const pb::HostRollout* rollout : Told(deployment)) {
    for (const pb::Step& step : rollout->steps()) {
      const std::vector<std::string> seen = Explain(step);
      if (seen.empty()) continue;
      absl::StrAppend(
          &part, Folded(absl::StrCat("What ", step.name(), " on ", rollout->host(), " saw"), seen,
                        step.state() == pb::STEP_STATE_FAILED));
    }
  }
  return part.empty() ? part : absl::StrCat("\n#### Evidence\n", part);
}

}  // namespace

std::string JobSummary(const JobReport& report) {
  const pb::Deployment& deployment = report.deployment;
  const auto took = FromProto(deployment.end_time()) - FromProto(deployment.create_time());
  return absl::StrCat(
      "### Deployment ", Cell(ShortName(deployment.name())), ": ", StateWord(deployment.state()),
      "\n\n", Cell(deployment.message()), "\n\ncommit ", CommitLink(report, deployment.commit()),
      ", release ", Cell(ShortName(deployment.release())),
      deployment.has_end_time() ? absl::StrCat(", after ", FormatDuration(took)) : "", "\n",
      report.application.has_value() ? WhatRuns(*report.application, report) : "",
      WhatChanged(report), Timeline(deployment), Evidence(deployment), "\n");
}

std::string ErrorSummary(absl::string_view message, absl::string_view cure) {
  return absl::StrCat("### Slipway: not done\n\n", Cell(message), "\n",
                      cure.empty() ? "" : absl::StrCat("\nwhat to do: ", Cell(cure), "\n"), "\n");
}

}  // namespace slipway::cli
