// Many hosts in one process: for each a real gRPC server that speaks the executor's contract, with a simulated host behind it.
// What goes wrong follows from a seed alone.
//
// All servers share gRPC's own threads: a thousand of them need few threads and about 100 KiB each.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "tests/support/simulated_host.h"

namespace slipway::controller {

struct FleetFaults {
  uint32_t seed = 1;
  // How long a step takes at least, and how much longer it may take.
  std::chrono::milliseconds latency{0};
  std::chrono::milliseconds jitter{0};
  // Of a thousand calls: the connection breaks before the step is run, or after it and before the answer.
  uint32_t disconnects = 0;
  // The step that fails on these hosts, by their index.
  std::string failing_step;
  std::vector<size_t> failing_hosts;
};

class FleetSimulator {
 public:
  // Host I listens on FOLDER/host-000I.sock.
  static absl::StatusOr<std::unique_ptr<FleetSimulator>> Start(const std::filesystem::path& folder,
                                                               size_t hosts,
                                                               const FleetFaults& faults);
  ~FleetSimulator();
  FleetSimulator(const FleetSimulator&) = delete;
  FleetSimulator& operator=(const FleetSimulator&) = delete;

  size_t Size() const { return executors_.size(); }
  // host-0001 and so on, from 1.
  static std::string Name(size_t index);
  std::string Address(size_t index) const;
  SimulatedHost& Host(size_t index);

 private:
  class Executor;
  FleetSimulator(std::filesystem::path folder, FleetFaults faults);

  const std::filesystem::path folder_;
  const FleetFaults faults_;
  std::vector<std::unique_ptr<Executor>> executors_;
};

}  // namespace slipway::controller
