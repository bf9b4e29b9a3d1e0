// The progress of more hosts than anybody reads lines of: what fails is said at once, by name; all else is counted, a line for each
// step when it is done, with the host that took longest. On a terminal one line more says what is under way.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "clients/cli/output.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

// Up to so many hosts have lines of their own.
inline constexpr int kFewHosts = 8;

// Some step of it, or nobody knows of one.
bool HasFailed(const pb::HostRollout& rollout);

// How a step went on all hosts.
struct Tally {
  std::string step;
  int begun = 0;
  int good = 0;
  int bad = 0;
  std::chrono::nanoseconds slowest{0};
  std::string slowest_host;
  // How many of those that have ended were told of.
  int told = 0;

  void Add(const std::string& host, const pb::Step& ended);
  // `switch  250 of 1000  slowest host-0033 1.2s`
  std::string Line(int hosts) const;
};

// Of everything that has ended, in the order in which it began first.
std::vector<Tally> TalliesOf(const pb::Deployment& deployment);

class FleetProgress {
 public:
  FleetProgress(const Output& output, int hosts) : output_(output), hosts_(hosts) {}

  void Show(const std::string& host, const pb::Step& step);
  // What was counted and not told yet.
  void Flush();

 private:
  Tally& Of(const std::string& step);
  void Tell(Tally& tally);
  void ClearLive();
  void ShowLive(const Tally& tally);

  const Output& output_;
  const int hosts_;
  std::vector<Tally> tallies_;
  bool live_ = false;
};

}  // namespace slipway::cli
