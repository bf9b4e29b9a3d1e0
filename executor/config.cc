#include "executor/config.h"

#include <unistd.h>

#include "common/file.h"
#include "common/status.h"
#include "common/yaml_proto.h"

namespace slipway::executor {

absl::StatusOr<config::v1::ExecutorConfig> LoadConfig(const std::string& path) {
  config::v1::ExecutorConfig config;
  const auto text = ReadFile(path);
  if (text.ok()) {
    SLIPWAY_RETURN_IF_ERROR(ParseYaml(*text, path, config));
  } else if (!absl::IsNotFound(text.status()) || path != kDefaultConfigPath) {
    return text.status();
  }
  if (config.state().empty()) config.set_state("/var/lib/slipway/executor");
  if (config.socket().empty()) config.set_socket("/run/slipway/executor.sock");
  if (config.address().empty()) config.set_address("127.0.0.1");
  if (config.first_proof_port() == 0) config.set_first_proof_port(18700);
  if (config.docker_socket().empty()) config.set_docker_socket("/var/run/docker.sock");
  config::v1::NginxConfig& nginx = *config.mutable_nginx();
  if (nginx.test().empty()) {
    for (const char* word : {"nginx", "-t"}) nginx.add_test(word);
  }
  if (nginx.reload().empty()) {
    for (const char* word : {"nginx", "-s", "reload"}) nginx.add_reload(word);
  }
  if (config.remove_release().empty() && geteuid() != 0) {
    for (const char* word : {"sudo", "-n", "/usr/lib/slipway/slipway-executor", "remove-release",
                             "--config", kDefaultConfigPath}) {
      config.add_remove_release(word);
    }
  }
  if (nginx.pid_file().empty()) nginx.set_pid_file("/run/nginx.pid");
  if (nginx.error_log().empty()) nginx.set_error_log("/var/log/nginx/error.log");
  return config;
}

}  // namespace slipway::executor
