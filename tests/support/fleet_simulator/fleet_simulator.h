// Many hosts in one process: for each a real gRPC server that speaks the executor's contract, with a simulated host behind it.
// What goes wrong follows from a seed alone.
//
// All servers share gRPC's own threads: a thousand of them need few threads and about 100 KiB each.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
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

// TLS with certificates both ways, as enrolled hosts have it, in place of unix sockets.
struct FleetTls {
  // The controller's authority.key and authority.pem are there, and sign a certificate for each host.
  std::filesystem::path authority;
  // On an address of loopback of its own for each host.
  uint16_t port = 9700;
};

class FleetSimulator {
 public:
  // Host I listens on FOLDER/host-000I.sock, or with `tls` on its Address().
  static absl::StatusOr<std::unique_ptr<FleetSimulator>> Start(
      const std::filesystem::path& folder, size_t hosts, const FleetFaults& faults,
      const std::optional<FleetTls>& tls = std::nullopt);
  ~FleetSimulator();
  FleetSimulator(const FleetSimulator&) = delete;
  FleetSimulator& operator=(const FleetSimulator&) = delete;

  size_t Size() const { return executors_.size(); }
  // host-0001 and so on, from 1.
  static std::string Name(size_t index);
  std::string Address(size_t index) const;
  // 127.1.0.1 and so on.
  static std::string LoopbackOf(size_t index);
  SimulatedHost& Host(size_t index);

 private:
  class Executor;
  FleetSimulator(std::filesystem::path folder, FleetFaults faults, std::optional<FleetTls> tls);

  const std::filesystem::path folder_;
  const FleetFaults faults_;
  const std::optional<FleetTls> tls_;
  std::vector<std::unique_ptr<Executor>> executors_;
};

}  // namespace slipway::controller
