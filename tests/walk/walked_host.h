// One simulated host of a walk: an nginx, a Docker, and an executor that crashes in the middle of
// its steps and is opened again from the bytes that were on the disk at that moment. Journal, steps,
// release store and nginx driver are the real ones.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/fleet/executor_client.h"
#include "executor/drivers/health.h"
#include "executor/journal.h"
#include "executor/operations.h"
#include "executor/steps/steps.h"
#include "tests/walk/simulated_docker.h"
#include "tests/walk/simulated_nginx.h"

namespace slipway::testing {

// The machine's clock, but for the time that was slept or skipped.
class SkippingClock final : public Clock {
 public:
  Monotonic Now() override { return SystemClock().Now() + skipped(); }
  Wall WallNow() override {
    return SystemClock().WallNow() + std::chrono::duration_cast<Wall::duration>(skipped());
  }
  void SleepFor(std::chrono::nanoseconds time) override { skipped_ += time.count(); }
  bool WaitFor(std::chrono::nanoseconds time, Cancellation* cancellation) override {
    SleepFor(time);
    return cancellation != nullptr && cancellation->IsCancelled();
  }

 private:
  std::chrono::nanoseconds skipped() const { return std::chrono::nanoseconds(skipped_.load()); }

  std::atomic<int64_t> skipped_{0};
};

// What the manifest of every release of a walk names, and its digest.
std::string ManifestOfWalks();
std::string ManifestDigestOfWalks();

class WalkedHost {
 public:
  using Gate = std::function<bool(WalkedHost& host, const std::string& effect)>;

  // `address` is a loopback address that nobody else has. `gate` is asked before each outward
  // effect; false: the effect does not take place. Starts nginx and the executor.
  WalkedHost(std::string name, std::filesystem::path folder, std::string address, Clock& clock,
             Gate gate);
  ~WalkedHost();

  const std::string& name() const { return name_; }
  const executor::Paths& paths() const { return paths_; }
  SimulatedNginx& nginx() { return nginx_; }
  SimulatedDocker& docker() { return docker_; }
  executor::Journal& journal() { return *journal_; }
  executor::Steps& steps() { return *steps_; }
  executor::Operations& operations() { return *operations_; }
  const SimulatedContainer* Serving(const std::string& app) const {
    return docker_.OnPort(nginx_.PortFor(app));
  }

  // Runs a step of a deployment, with the paths of this host in it.
  absl::StatusOr<xpb::StepResult> Execute(xpb::ExecuteRequest request);
  absl::StatusOr<xpb::InspectResponse> Inspect(const std::string& app);

  // In the middle of a step: from now on nothing takes place any more, and the disk stays as it is.
  void Die(const std::vector<std::string>& apps);
  // In the middle of a step: the executor is told to stop.
  void Suspend();
  // Dead, or told to stop: Restart() is due.
  bool down() const { return dead_ || suspended_; }
  bool dead() const { return dead_; }
  void Restart();

 private:
  void Boot();
  void PutBlobs();

  const std::string name_;
  const std::filesystem::path folder_;
  const std::string address_;
  Clock& clock_;
  const executor::Paths paths_;
  std::atomic<bool> dead_ = false;
  std::atomic<bool> suspended_ = false;
  SimulatedNginx nginx_;
  SimulatedDocker docker_;

  // The executor.
  std::unique_ptr<executor::Journal> journal_;
  std::unique_ptr<executor::ReleaseStore> releases_;
  std::unique_ptr<executor::StaticSite> site_;
  std::unique_ptr<executor::NginxDriver> driver_;
  std::unique_ptr<executor::HealthGate> health_;
  std::unique_ptr<executor::Steps> steps_;
  std::unique_ptr<executor::Operations> operations_;

  // At the moment of its death: path and bytes; nothing for a file that was not there.
  std::map<std::string, std::optional<std::string>> disk_;
};

}  // namespace slipway::testing
