#include "controller/config.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/status.h"
#include "common/yaml_proto.h"
#include "controller/state_folder.h"

namespace slipway::controller {

absl::StatusOr<config::v1::ControllerConfig> LoadConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), path);
  config::v1::ControllerConfig config;
  SLIPWAY_RETURN_IF_ERROR(ParseYaml(*text, path, config));
  ApplyDefaults(config);
  if (config.has_database()) {
    if (const auto checked = Check(*PostgresOf(config)); !checked.ok()) {
      return Annotate(checked, path);
    }
  }
  return config;
}

std::optional<PostgresOptions> PostgresOf(const config::v1::ControllerConfig& config) {
  if (!config.has_database()) return std::nullopt;
  PostgresOptions options;
  options.conninfo = config.database().postgres();
  options.password_file = config.database().password_file();
  return options;
}

void ApplyDefaults(config::v1::ControllerConfig& config) {
  if (config.state().empty()) config.set_state("/var/lib/slipway/controller");
  if (config.socket().empty()) config.set_socket("/run/slipway/controller.sock");
  const StateFolder state(config.state());
  if (config.ssh().key().empty()) config.mutable_ssh()->set_key(state.Ssh() / "id_ed25519");
  if (config.ssh().known_hosts().empty()) {
    config.mutable_ssh()->set_known_hosts(state.Ssh() / "known_hosts");
  }
  if (config.github().issuer().empty()) {
    config.mutable_github()->set_issuer("https://token.actions.githubusercontent.com");
  }
  if (!config.has_abandoned_after()) {
    *config.mutable_abandoned_after() = ToProto(std::chrono::seconds(60));
  }
  if (config.metrics_address().empty()) config.set_metrics_address("127.0.0.1:9780");
}

}  // namespace slipway::controller
