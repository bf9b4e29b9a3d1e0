#include "clients/cli/plan_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/enum_word.h"
#include "common/spec.h"

namespace slipway::cli {
namespace {

constexpr int kShownFiles = 20;

void ShowFiles(const Output& output, const pb::Plan& plan) {
  output.Line(absl::StrCat("files: ", plan.files_size(), " changed, ", plan.files_unchanged(),
                           " unchanged"));
  for (int i = 0; i < plan.files_size() && i < kShownFiles; ++i) {
    const pb::FileChange& file = plan.files(i);
    const Tone tone = file.change() == "added"     ? Tone::kGood
                      : file.change() == "removed" ? Tone::kBad
                                                   : Tone::kWarning;
    output.Line(absl::StrCat("  ", output.Paint(tone, file.change()), " ", file.path()));
  }
  if (plan.files_size() > kShownFiles) {
    output.Line(
        absl::StrCat("  and ", plan.files_size() - kShownFiles, " more (--output json has all)"));
  }
}

void ShowNames(const Output& output, absl::string_view what, Tone tone,
               const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (names.empty()) return;
  output.Line(
      absl::StrCat("environment ", output.Paint(tone, what), ": ", absl::StrJoin(names, ", ")));
}

std::string ActionText(const pb::ServicePlan& service, pb::Slot to) {
  switch (service.action()) {
    case pb::SERVICE_ACTION_START:
      if (service.role() == pb::SERVICE_ROLE_JOB) return "runs to its end before the start";
      return service.role() == pb::SERVICE_ROLE_SLOTTED ? absl::StrCat("starts on ", SlotWord(to))
                                                        : "starts";
    case pb::SERVICE_ACTION_REPLACE:
      return "is replaced after the switch";
    case pb::SERVICE_ACTION_KEEP_CHANGED:
      return "goes on, though defined anew";
    case pb::SERVICE_ACTION_STOP:
      return "stops";
    default:
      return "goes on";
  }
}

std::string ImageText(const pb::ServicePlan& service) {
  switch (service.image_action()) {
    case pb::IMAGE_ACTION_BUILD:
      return absl::StrCat(service.image(), ", to build");
    case pb::IMAGE_ACTION_PULL:
      return absl::StrCat(service.image(), ", to pull");
    default:
      return service.image();
  }
}

void ShowServices(const Output& output, const pb::HostPlan& host) {
  if (host.services().empty()) return;
  std::vector<std::vector<std::string>> rows = {{"", "SERVICE", "ROLE", "", "IMAGE"}};
  std::vector<std::string> changed;
  for (const pb::ServicePlan& service : host.services()) {
    rows.push_back({"", service.service(), EnumWord(service.role()), ActionText(service, host.to()),
                    ImageText(service)});
    if (service.action() == pb::SERVICE_ACTION_KEEP_CHANGED) changed.push_back(service.service());
  }
  output.Table(rows);
  for (const pb::ServicePlan& service : host.services()) {
    for (const std::string& change : service.changes())
      output.Line(absl::StrCat("  ", service.service(), ": ", change));
  }
  if (changed.empty()) return;
  output.Line(absl::StrCat("  ", output.Paint(Tone::kWarning, "shared services defined anew"), ": ",
                           absl::StrJoin(changed, ", "),
                           "; they go on as they are, `slipway deploy --update SERVICE` replaces "
                           "them"));
}

void ShowState(const Output& output, const pb::HostPlan& host) {
  for (const pb::StateDirectory& state : host.state()) {
    output.Line(absl::StrCat("  state: ", state.path(), " is ", state.directory(),
                             state.adopted()  ? ", of the installation that is taken over"
                             : state.exists() ? ""
                                              : ", to be created empty"));
  }
}

void ShowHost(const Output& output, const pb::HostPlan& host) {
  output.Line(absl::StrCat(
      host.host(), ": ", SlotWord(host.from()),
      host.serving_release().empty() ? "" : absl::StrCat(" (", host.serving_release(), ")"), " -> ",
      SlotWord(host.to()), host.port() == 0 ? "" : absl::StrCat(" on port ", host.port()), ", ",
      host.free_bytes() >> 20, " MiB free"));
  ShowServices(output, host);
  ShowState(output, host);
  for (absl::string_view line : absl::StrSplit(host.nginx_diff(), '\n', absl::SkipEmpty())) {
    output.Line(absl::StrCat("  ", output.Paint(line[0] == '+'   ? Tone::kGood
                                                : line[0] == '-' ? Tone::kBad
                                                                 : Tone::kQuiet,
                                                line)));
  }
  for (const std::string& note : host.notes()) output.Line(absl::StrCat("  note: ", note));
  for (const std::string& problem : host.problems()) {
    output.Line(absl::StrCat("  ", output.Paint(Tone::kBad, "problem: "), problem));
  }
}

}  // namespace

int ShowPlan(Session& session, const pb::Plan& plan, bool up_to_date) {
  const Output& output = session.output;
  bool possible = true;
  for (const pb::HostPlan& host : plan.hosts()) possible &= host.problems().empty();
  if (output.json) {
    output.Json(plan);
    return possible ? kExitOk : kExitRefused;
  }
  if (up_to_date)
    output.Line("this release already serves on every host: `slipway deploy` would do nothing");
  ShowFiles(output, plan);
  ShowNames(output, "added", Tone::kGood, plan.environment_added());
  ShowNames(output, "changed", Tone::kWarning, plan.environment_changed());
  ShowNames(output, "removed", Tone::kBad, plan.environment_removed());
  output.Line(absl::StrCat("steps: ", absl::StrJoin(plan.steps(), ", ")));
  for (const pb::HostPlan& host : plan.hosts()) ShowHost(output, host);
  for (const pb::LeftOutHost& host : plan.left_out()) {
    output.Line(absl::StrCat(host.host(), "  ", output.Paint(Tone::kWarning, "left out"), ": ",
                             EnumWord(host.reason()), "; it catches up later"));
  }
  return possible ? kExitOk : kExitRefused;
}

}  // namespace slipway::cli
