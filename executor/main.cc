// slipway-executor: the daemon of one host, and what a person on that host may ask of it.
#include <cstdio>
#include <pwd.h>
#include <string>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <google/protobuf/util/json_util.h>

#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/service_manager.h"
#include "common/static_libc.h"
#include "common/status.h"
#include "common/version.h"
#include "executor/config.h"
#include "executor/enrol_command.h"
#include "executor/local_command.h"
#include "executor/remove_release.h"
#include "executor/server.h"
#include "executor/setup.h"

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
  slipway::TellServiceManagerReady();
  slipway::WaitForStopSignal();
  slipway::LogInfo("executor stops");
  return 0;
}

int SetUp(slipway::executor::SetupOptions options) {
  options.as_root = geteuid() == 0;
  if (!options.as_root) {
    const passwd* user = getpwuid(getuid());
    if (user == nullptr) return 1;
    options.user = user->pw_name;
    options.home = user->pw_dir;
  }
  slipway::executor::SystemProcessRunner runner;
  const auto report = slipway::executor::Setup(runner, options).Run();
  if (!report.ok()) {
    std::fprintf(stderr, "slipway-executor: %s\n", std::string(report.status().message()).c_str());
    const std::string cure = slipway::DetailOf(report.status()).cure();
    if (!cure.empty()) std::fprintf(stderr, "  what to do: %s\n", cure.c_str());
    return 1;
  }
  std::string text;
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  print.always_print_primitive_fields = true;
  static_cast<void>(google::protobuf::util::MessageToJsonString(*report, &text, print));
  std::printf("%s\n", text.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  slipway::LookNamesUpWithoutModules();
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
  CLI::App* remove_release = app.add_subcommand(
      "remove-release", "Remove a release that a container wrote into as root; for sudo");
  bool install = false;
  CLI::App* enrol =
      app.add_subcommand("enrol", "Ask for this host's certificate, on standard output");
  enrol->add_flag("--install", install, "Take it, and then the authority's, from standard input");
  slipway::executor::SetupOptions setup;
  CLI::App* install_here =
      app.add_subcommand("setup", "Install this program on this host; prints what it did as JSON");
  install_here->add_option("--controller-key", setup.controller_key,
                           "The controller's public SSH key: may reach the socket by it");
  install_here->add_option("--tls-listen", setup.tls_listen, "ADDRESS:PORT for tls:// addresses");
  install_here->add_flag("--start", setup.start, "Start it");
  install_here->add_flag("--restart", setup.restart, "With --start: also when it runs");
  install_here->add_flag("--remove", setup.remove, "Take it away; what runs goes on");
  CLI11_PARSE(app, argc, argv);
  if (install_here->parsed()) return SetUp(setup);
  if (remove_release->parsed()) return slipway::executor::RemoveRelease(config_path);

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
