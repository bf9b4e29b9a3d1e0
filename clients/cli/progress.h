// A deployment's events as lines: one per host and step when it has ended, one that is rewritten
// while it runs on a terminal, log groups in a GitHub job, one JSON object per event with --output
// json.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "clients/cli/fleet_progress.h"
#include "clients/cli/output.h"
#include "common/protos.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

class Progress {
 public:
  // Of more than a few hosts the steps are counted and not listed (fleet_progress.h).
  Progress(const Output& output, bool show_logs, int hosts = 1)
      : output_(output), show_logs_(show_logs) {
    if (hosts > kFewHosts) fleet_.emplace(output_, hosts);
  }

  void Show(const pb::Event& event);
  // The outcome in words: what failed, what is true now, what to do.
  void ShowEnd(const pb::Deployment& deployment);

 private:
  void ShowStep(const std::string& host, const pb::Step& step);
  void Annotate(const std::string& host, const pb::Step& step);
  void ShowLog(const pb::LogLine& log);
  void ClearRunning();
  void OpenGroup(const std::string& name);
  void CloseGroup();

  const Output& output_;
  const bool show_logs_;
  std::optional<FleetProgress> fleet_;
  bool running_line_ = false;
  std::string open_group_;
  // Ends the stretch in which the runner takes no commands from the log.
  std::string resume_word_;
};

// What a step saw, in more lines; for `slipway why`.
std::vector<std::string> Explain(const pb::Step& step);

// The exit code for a deployment's state.
int ExitCodeFor(const pb::Deployment& deployment);

}  // namespace slipway::cli
