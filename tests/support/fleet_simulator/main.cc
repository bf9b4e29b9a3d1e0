// A fleet of simulated hosts until SIGTERM; says `ready` when all listen.
#include <cstdio>
#include <cstdlib>

#include <CLI/CLI.hpp>

#include "common/grpc_server.h"
#include "tests/support/fleet_simulator/fleet_simulator.h"

int main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  CLI::App app("Simulated hosts, each with an executor's socket in FOLDER", "slipway-fleet");
  std::string folder;
  size_t hosts = 0;
  int64_t latency = 0;
  int64_t jitter = 0;
  slipway::controller::FleetFaults faults;
  app.add_option("FOLDER", folder)->required();
  app.add_option("HOSTS", hosts)->required();
  app.add_option("--seed", faults.seed);
  app.add_option("--latency", latency, "Milliseconds");
  app.add_option("--jitter", jitter, "Milliseconds");
  app.add_option("--disconnects", faults.disconnects, "Of a thousand calls");
  app.add_option("--failing-step", faults.failing_step);
  app.add_option("--failing-hosts", faults.failing_hosts, "Indexes, from 0");
  slipway::controller::FleetTls tls;
  app.add_option("--tls", tls.authority, "Serve TLS; the folder with the controller's authority");
  app.add_option("--port", tls.port, "With --tls, on 127.1.0.1 and so on")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  faults.latency = std::chrono::milliseconds(latency);
  faults.jitter = std::chrono::milliseconds(jitter);
  slipway::BlockStopSignals();
  slipway::RaiseFileLimit();
  const auto fleet = slipway::controller::FleetSimulator::Start(
      folder, hosts, faults, tls.authority.empty() ? std::nullopt : std::optional(tls));
  if (!fleet.ok()) {
    std::fprintf(stderr, "%s\n", std::string(fleet.status().message()).c_str());
    return 1;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  slipway::WaitForStopSignal();
  return 0;
}
