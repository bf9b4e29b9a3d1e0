#include "controller/config.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/durations.h"
#include "common/file.h"
#include "common/manifest.h"
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

std::string MachineName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

namespace {

// Where it listens for clients of other machines, if it does.
std::string AddressOf(const config::v1::ControllerConfig& config) {
  const std::string& listen = config.tls().listen();
  if (listen.empty()) return absl::StrCat("unix://", config.socket());
  return absl::StrCat("tls://", MachineName(), listen.substr(listen.rfind(':')));
}

}  // namespace

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
  auto& uploads = *config.mutable_uploads();
  if (uploads.file_bytes() == 0) uploads.set_file_bytes(kMaxReleaseBytes);
  if (uploads.upload_bytes() == 0) uploads.set_upload_bytes(kMaxReleaseBytes);
  if (uploads.application_bytes_per_day() == 0) {
    uploads.set_application_bytes_per_day(uint64_t{20} << 30);
  }
  if (uploads.keep_free_bytes() == 0) uploads.set_keep_free_bytes(uint64_t{1} << 30);
  if (config.advertised_address().empty()) {
    config.set_advertised_address(AddressOf(config));
  }
  if (config.metrics_address().empty()) config.set_metrics_address("127.0.0.1:9780");
}

}  // namespace slipway::controller
