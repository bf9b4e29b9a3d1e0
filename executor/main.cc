// slipway-executor: the daemon of one host, and what a person on that host may ask of it.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/version.h"
#include "executor/config.h"
#include "executor/enrol_command.h"
#include "executor/local_command.h"
#include "executor/server.h"

namespace {

int Serve(const slipway::config::v1::ExecutorConfig& config) {
  slipway::BlockStopSignals();
  const auto server = slipway::executor::Server::Start(config);
  if (!server.ok()) {
    slipway::LogError("executor cannot start",
                      {{"error", std::string(server.status().message())},
                       {"cure", slipway::DetailOf(server.status()).cure()}});
    return 1;
  }
  slipway::WaitForStopSignal();
  slipway::LogInfo("executor stops");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  CLI::App app("Slipway's executor: deploys on this host what the controller asks for",
               "slipway-executor");
  std::string config_path = slipway::executor::kDefaultConfigPath;
  std::string application;
  app.add_option("--config", config_path, "Configuration file")->envname("SLIPWAY_EXECUTOR_CONFIG");
  app.set_version_flag("--version", std::string("slipway-executor ") + slipway::kVersion);
  app.fallthrough();
  app.require_subcommand(0, 1);
  CLI::App* serve = app.add_subcommand("serve", "Run the daemon; the default");
  CLI::App* status =
      app.add_subcommand("status", "What runs and serves here, asked of nginx and Docker");
  status->add_option("APP", application, "Default: every application");
  CLI::App* rollback =
      app.add_subcommand("rollback", "Back to the previous release, without the controller");
  rollback->add_option("APP", application)->required();
  bool install = false;
  CLI::App* enrol =
      app.add_subcommand("enrol", "Ask for this host's certificate, on standard output");
  enrol->add_flag("--install", install, "Take it, and then the authority's, from standard input");
  CLI11_PARSE(app, argc, argv);

  const auto config = slipway::executor::LoadConfig(config_path);
  if (!config.ok()) {
    std::fprintf(stderr, "slipway-executor: %s\n", std::string(config.status().message()).c_str());
    return 2;
  }
  if (status->parsed()) return slipway::executor::ShowStatus(config->socket(), application);
  if (rollback->parsed()) return slipway::executor::RollBackHere(config->socket(), application);
  if (enrol->parsed()) {
    return install ? slipway::executor::InstallFromStandardInput(config->state())
                   : slipway::executor::PrintCertificateRequest(config->state());
  }
  static_cast<void>(serve);
  return Serve(*config);
}
