// slipway-controller: serves until SIGTERM; makes backups and restores them.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <CLI/CLI.hpp>

#include "common/clock.h"
#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/service_manager.h"
#include "common/status.h"
#include "controller/backup.h"
#include "controller/config.h"
#include "controller/move_state.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/server.h"

namespace {

using slipway::config::v1::ControllerConfig;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "slipway-controller: %s\n", std::string(status.message()).c_str());
  const std::string cure = slipway::DetailOf(status).cure();
  if (!cure.empty()) std::fprintf(stderr, "  %s\n", cure.c_str());
  return 1;
}

#ifdef SLIPWAY_FAILPOINTS
int ListFailpoints() {
  for (const std::string& step : slipway::controller::StepWords()) {
    for (const char* moment : {"intended", "acted", "recorded"}) {
      std::printf("controller.%s.%s\n", step.c_str(), moment);
    }
  }
  return 0;
}
#endif

int Serve(const ControllerConfig& config) {
  slipway::BlockStopSignals();
  const auto server = slipway::controller::Server::Start(config);
  if (!server.ok()) return Fail(server.status());
  slipway::TellServiceManagerReady();
  slipway::WaitForStopSignal();
  slipway::LogInfo("stopping");
  return 0;
}

int BackUp(const ControllerConfig& config, const std::string& into, int keep) {
  const auto backup = slipway::controller::MakeBackup(config, into, keep, slipway::SystemClock());
  if (!backup.ok()) return Fail(backup.status());
  std::printf("%s\n", backup->folder.c_str());
  return 0;
}

int Migrate(const ControllerConfig& config) {
  const absl::Status moved = slipway::controller::MoveToPostgres(config, slipway::SystemClock());
  if (!moved.ok()) return Fail(moved);
  std::printf(
      "the state is in PostgreSQL, its history verified; start the controller, and keep "
      "%s/state.db as a backup\n",
      config.state().c_str());
  return 0;
}

int Restore(const ControllerConfig& config, const std::string& from) {
  const absl::Status restored =
      slipway::controller::RestoreBackup(config, from, slipway::SystemClock());
  if (!restored.ok()) return Fail(restored);
  std::printf("%s is restored; start the controller\n", config.state().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC's own log is for its developers; what an operator needs to know stands in ours.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  CLI::App app("Slipway's controller: holds the state and the history of deployments and runs them",
               "slipway-controller");
  std::string file = slipway::controller::kDefaultConfigPath;
  app.add_option("--config", file, "Configuration file")->capture_default_str();
  app.set_version_flag("--version", "slipway-controller " SLIPWAY_VERSION);
#ifdef SLIPWAY_FAILPOINTS
  bool list_failpoints = false;
  app.add_flag("--list-failpoints", list_failpoints,
               "Points at which a test may kill this program (SLIPWAY_FAILPOINT=NAME)");
#endif
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_subcommand("serve", "Run the daemon; the default");
  std::string folder;
  int keep = 0;
  CLI::App* backup = app.add_subcommand(
      "backup", "Copy the state into a new folder below this one, also while the daemon runs");
  backup->add_option("FOLDER", folder, "Such as /var/backups/slipway")->required();
  backup->add_option("--keep", keep, "Remove older backups there beyond this many; default: none")
      ->check(CLI::Range(1, 10'000));
  CLI::App* restore = app.add_subcommand(
      "restore", "Put a backup into an empty state folder; the daemon is stopped");
  restore->add_option("BACKUP", folder, "Such as /var/backups/slipway/20261125T073000Z")
      ->required();
  CLI::App* store = app.add_subcommand("store", "The database that the state is kept in");
  store->require_subcommand(1);
  CLI::App* migrate = store->add_subcommand(
      "migrate",
      "Move the state folder's SQLite file into the PostgreSQL database of the "
      "configuration, which is empty; the daemon is stopped");
  CLI11_PARSE(app, argc, argv);
#ifdef SLIPWAY_FAILPOINTS
  if (list_failpoints) return ListFailpoints();
#endif
  const auto config = slipway::controller::LoadConfig(file);
  if (!config.ok()) return Fail(config.status());
  if (migrate->parsed()) return Migrate(*config);
  if (backup->parsed()) return BackUp(*config, folder, keep);
  if (restore->parsed()) return Restore(*config, folder);
  return Serve(*config);
}
