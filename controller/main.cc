// slipway-controller: reads its configuration, serves until SIGTERM.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/grpc_server.h"
#include "common/logging.h"
#include "common/service_manager.h"
#include "common/status.h"
#include "common/yaml_proto.h"
#include "controller/rollout/rollout_steps.h"
#include "controller/server.h"

#include "slipway/config/v1/config.pb.h"

namespace {

constexpr char kHelp[] =
    "slipway-controller: holds the state and the history of deployments and runs them\n"
    "\n"
    "  --config FILE      default /etc/slipway/controller.yaml\n"
    "  --version          print the version\n"
    "  --help             print this\n"
#ifdef SLIPWAY_FAILPOINTS
    "  --list-failpoints  points at which a test may kill this program (SLIPWAY_FAILPOINT=NAME)\n"
#endif
    "\n"
    "Example of a configuration:\n"
    "  state: /var/lib/slipway/controller\n"
    "  socket: /run/slipway/controller.sock\n"
    "  metrics_address: 127.0.0.1:9780\n"
    "  hosts:\n"
    "    - {name: web-1, address: \"unix:///run/slipway/executor.sock\"}\n";

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

int Run(const std::string& file) {
  absl::StatusOr<std::string> text = slipway::ReadFile(file);
  if (!text.ok()) return Fail(slipway::Annotate(text.status(), file));
  slipway::config::v1::ControllerConfig config;
  if (const absl::Status read = slipway::ParseYaml(*text, file, config); !read.ok()) {
    return Fail(read);
  }
  slipway::BlockStopSignals();
  const auto server = slipway::controller::Server::Start(config);
  if (!server.ok()) return Fail(server.status());
  slipway::TellServiceManagerReady();
  slipway::WaitForStopSignal();
  slipway::LogInfo("stopping");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC's own log is for its developers; what an operator needs to know stands in ours.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::string file = "/etc/slipway/controller.yaml";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--config" && i + 1 < argc) {
      file = argv[++i];
    } else if (argument == "--version") {
      std::printf("slipway-controller %s\n", SLIPWAY_VERSION);
      return 0;
    } else if (argument == "--help") {
      std::fputs(kHelp, stdout);
      return 0;
#ifdef SLIPWAY_FAILPOINTS
    } else if (argument == "--list-failpoints") {
      return ListFailpoints();
#endif
    } else {
      std::fprintf(stderr, "slipway-controller: unknown argument %s\n\n%s", argv[i], kHelp);
      return 2;
    }
  }
  return Run(file);
}
