#include "clients/cli/progress.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/github.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/random.h"

namespace slipway::cli {
namespace {

struct Mark {
  Tone tone;
  const char* word;
};

Mark MarkOf(pb::StepState state) {
  switch (state) {
    case pb::STEP_STATE_DONE:
      return {Tone::kGood, "ok"};
    case pb::STEP_STATE_FAILED:
      return {Tone::kBad, "failed"};
    case pb::STEP_STATE_UNKNOWN:
      return {Tone::kWarning, "unknown"};
    case pb::STEP_STATE_COMPENSATED:
      return {Tone::kWarning, "undone"};
    case pb::STEP_STATE_SKIPPED:
      return {Tone::kQuiet, "skipped"};
    default:
      return {Tone::kPlain, "..."};
  }
}

bool HasEnded(pb::StepState state) {
  return state != pb::STEP_STATE_PLANNED && state != pb::STEP_STATE_DISPATCHED;
}

// What comes from a host starts no line of its own.
std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\r", ""}, {"\n", " "}});
}

void AddLines(std::vector<std::string>& lines, const std::string& title,
              const google::protobuf::RepeatedPtrField<std::string>& text) {
  if (text.empty()) return;
  lines.push_back(title);
  for (const std::string& line : text) lines.push_back(absl::StrCat("  ", line));
}

}  // namespace

void Progress::ClearRunning() {
  if (!running_line_) return;
  std::fputs("\r\033[K", stdout);
  running_line_ = false;
}

void Progress::Show(const pb::Event& event) {
  if (output_.json) {
    output_.JsonLine(event);
    return;
  }
  switch (event.kind_case()) {
    case pb::Event::kStep:
      ShowStep(event.host(), event.step());
      break;
    case pb::Event::kLog:
      ShowLog(event.log());
      break;
    case pb::Event::kState:
      if (event.state().state() == pb::DEPLOYMENT_STATE_QUEUED)
        output_.Line(event.state().message());
      break;
    default:
      break;
  }
}

// What a build prints is no command to the runner.
void Progress::OpenGroup(const std::string& name) {
  open_group_ = name;
  resume_word_ = RandomHex(16);
  output_.Line(absl::StrCat("::group::", name));
  output_.Line(absl::StrCat("::stop-commands::", resume_word_));
}

void Progress::CloseGroup() {
  if (open_group_.empty()) return;
  output_.Line(absl::StrCat("::", resume_word_, "::"));
  output_.Line("::endgroup::");
  open_group_.clear();
}

void Progress::ShowLog(const pb::LogLine& log) {
  if (!show_logs_) return;
  ClearRunning();
  if (output_.github && open_group_ != log.step()) {
    CloseGroup();
    OpenGroup(log.step());
  }
  output_.Line(output_.Paint(Tone::kQuiet, absl::StrCat("    ", log.text())));
}

void Progress::ShowStep(const std::string& host, const pb::Step& step) {
  if (HasEnded(step.state())) CloseGroup();
  if (fleet_) {
    fleet_->Show(host, step);
    Annotate(host, step);
    return;
  }
  ClearRunning();
  if (!HasEnded(step.state())) {
    if (output_.terminal && step.state() == pb::STEP_STATE_DISPATCHED) {
      std::fputs(output_.Paint(Tone::kQuiet, absl::StrFormat("%-10s %-16s ...", host, step.name()))
                     .c_str(),
                 stdout);
      std::fflush(stdout);
      running_line_ = true;
    }
    return;
  }
  const Mark mark = MarkOf(step.state());
  output_.Line(absl::StrFormat("%-10s %-16s %s %8s  %s", host, step.name(),
                               output_.Paint(mark.tone, absl::StrFormat("%-8s", mark.word)),
                               FormatDuration(FromProto(step.duration())),
                               OneLine(step.summary())));
  Annotate(host, step);
}

void Progress::Annotate(const std::string& host, const pb::Step& step) {
  if (output_.github && step.state() == pb::STEP_STATE_FAILED) {
    output_.Line(ErrorAnnotation(absl::StrCat(step.name(), " on ", host), step.summary()));
  }
}

void Progress::ShowEnd(const pb::Deployment& deployment) {
  if (output_.json) return;
  CloseGroup();
  ClearRunning();
  if (fleet_) fleet_->Flush();
  const auto took = FromProto(deployment.end_time()) - FromProto(deployment.create_time());
  output_.Line(
      absl::StrCat(output_.Paint(StateTone(deployment.state()), StateWord(deployment.state())),
                   deployment.has_end_time() ? absl::StrCat(" in ", FormatDuration(took)) : "",
                   ": ", output_.github ? OneLine(deployment.message()) : deployment.message()));
  if (deployment.state() == pb::DEPLOYMENT_STATE_FAILED ||
      deployment.state() == pb::DEPLOYMENT_STATE_ROLLED_BACK ||
      deployment.state() == pb::DEPLOYMENT_STATE_NEEDS_ATTENTION ||
      deployment.state() == pb::DEPLOYMENT_STATE_PARTIAL) {
    output_.Line(absl::StrCat("more: slipway why ", ShortName(deployment.name())));
  }
}

std::vector<std::string> Explain(const pb::Step& step) {
  std::vector<std::string> lines;
  const pb::Evidence& evidence = step.evidence();
  switch (evidence.kind_case()) {
    case pb::Evidence::kHealth: {
      const pb::HealthEvidence& health = evidence.health();
      lines.push_back(absl::StrCat(health.probes(), " probes, ", health.successes_in_a_row(),
                                   " successes in a row"));
      if (!health.last_failure().empty())
        lines.push_back(absl::StrCat("last failure: ", health.last_failure()));
      if (!health.last_body().empty())
        lines.push_back(absl::StrCat("last body: ", health.last_body()));
      AddLines(lines, "the container's last lines:", health.container_tail());
      break;
    }
    case pb::Evidence::kHook:
      lines.push_back(absl::StrCat("exit code ", evidence.hook().exit_code()));
      AddLines(lines, "its last lines:", evidence.hook().output_tail());
      break;
    case pb::Evidence::kSwitch: {
      const pb::SwitchEvidence& sw = evidence.switch_();
      lines.push_back(absl::StrCat("generation ", sw.generation(), ", nginx -t ",
                                   FormatDuration(FromProto(sw.nginx_test())), ", reload ",
                                   FormatDuration(FromProto(sw.reload())), ", proven after ",
                                   FormatDuration(FromProto(sw.proven()))));
      if (sw.restored()) lines.push_back("nginx has loaded what it had before");
      AddLines(lines, "nginx's error log meanwhile:", sw.nginx_errors());
      break;
    }
    case pb::Evidence::kBake:
      lines.push_back(absl::StrCat(evidence.bake().probes(), " probes, ",
                                   evidence.bake().failures(), " failed, in ",
                                   FormatDuration(FromProto(evidence.bake().watched()))));
      if (!evidence.bake().last_failure().empty()) lines.push_back(evidence.bake().last_failure());
      AddLines(lines, "the container's last lines:", evidence.bake().container_tail());
      break;
    case pb::Evidence::kDrain:
      lines.push_back(absl::StrFormat(
          "%d connections and %d old workers at the start; %d and %d left after %s",
          evidence.drain().connections_at_start(), evidence.drain().old_workers_at_start(),
          evidence.drain().connections_left(), evidence.drain().old_workers_left(),
          FormatDuration(FromProto(evidence.drain().waited()))));
      break;
    case pb::Evidence::kConfirm:
      lines.push_back(absl::StrCat("generation ", evidence.confirm().generation(), ", ",
                                   absl::StrJoin(evidence.confirm().containers(), ", ")));
      break;
    case pb::Evidence::kShared:
      AddLines(lines, "running from another definition than this release's:",
               evidence.shared().changed_services());
      break;
    default:
      break;
  }
  return lines;
}

int ExitCodeFor(const pb::Deployment& deployment) {
  switch (deployment.state()) {
    case pb::DEPLOYMENT_STATE_SUCCEEDED:
      return kExitOk;
    case pb::DEPLOYMENT_STATE_FAILED:
      return kExitFailedBeforeSwitch;
    case pb::DEPLOYMENT_STATE_ROLLED_BACK:
      return kExitRolledBack;
    case pb::DEPLOYMENT_STATE_CANCELLED:
      return kExitCancelled;
    case pb::DEPLOYMENT_STATE_NEEDS_ATTENTION:
      return kExitNeedsAttention;
    case pb::DEPLOYMENT_STATE_PAUSED:
      return kExitPaused;
    case pb::DEPLOYMENT_STATE_PARTIAL: {
      // Without hosts that it was told to leave out, nothing has failed.
      const bool failed = std::any_of(
          deployment.rollouts().begin(), deployment.rollouts().end(),
          [](const auto& rollout) { return rollout.state() != pb::DEPLOYMENT_STATE_SUCCEEDED; });
      return failed ? kExitPartial : kExitOk;
    }
    case pb::DEPLOYMENT_STATE_SUPERSEDED:
      return kExitSuperseded;
    default:
      return kExitError;
  }
}

}  // namespace slipway::cli
