// nginx as NginxDriver meets it, in memory: configuration files are read from a directory when a
// command tests or reloads them, proof servers are real listeners on a loopback address, and the
// processes are entries of a made-up /proc.
//
// Not thread-safe, but for the proof servers.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "executor/drivers/nginx.h"
#include "executor/process/process_runner.h"
#include "tests/support/tiny_server.h"

namespace slipway::testing {

// Called before each outward effect with its name; false: the effect does not happen, and the
// caller is told that its peer is not available.
using EffectGate = std::function<bool(const std::string& effect)>;

class SimulatedNginx final : public executor::ProcessRunner {
 public:
  // Keeps conf.d, proc, nginx.pid and error.log in `folder`. Does not run yet.
  SimulatedNginx(std::filesystem::path folder, std::string address, EffectGate gate);

  absl::StatusOr<executor::ProcessResult> Run(const executor::Command& command) override;

  // As the host's service manager does. A start with a broken file fails, as with the real one.
  void Start();
  void Stop();
  bool running() const { return running_; }
  // As another program on the host does; what is on disk is loaded if it can be.
  void ReloadByOthers();
  // Reloads answer 0 and change nothing while this is set.
  void RefuseReloads(bool refuse) { refuse_ = refuse; }

  executor::NginxOptions Options() const;
  executor::ProcReader Proc() const { return executor::ProcReader(folder_ / "proc"); }
  std::filesystem::path FileOf(const std::string& app) const;
  // The port that a request to the application's site reaches; 0 when it reaches none.
  uint32_t PortFor(const std::string& app) const;

 private:
  using Files = std::map<std::string, std::string>;

  Files ReadFiles() const;
  // The complaint of `nginx -t`; empty when there is none.
  std::string Complaint(const Files& files) const;
  bool Load(const Files& files);
  void Log(const std::string& line) const;

  const std::filesystem::path folder_;
  const std::string address_;
  const EffectGate gate_;
  bool running_ = false;
  bool refuse_ = false;
  Files loaded_;
  std::map<uint32_t, std::unique_ptr<TinyServer>> proofs_;
};

}  // namespace slipway::testing
