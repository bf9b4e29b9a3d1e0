// Looks at everything that a deployment needs of this host, and says how to mend what is wrong.
// Touches nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/protos.h"
#include "executor/credentials.h"
#include "executor/drivers/docker_engine.h"
#include "executor/drivers/nginx.h"
#include "executor/process/process_runner.h"
#include "executor/steps/steps.h"

#include "slipway/v1/hosts.pb.h"

namespace slipway::executor {

class Doctor {
 public:
  Doctor(DockerEngine& engine, ProcessRunner& runner, NginxOptions nginx, Steps& steps, Paths paths,
         std::string compose_version, const Credentials& credentials)
      : engine_(engine),
        runner_(runner),
        nginx_(std::move(nginx)),
        steps_(steps),
        paths_(std::move(paths)),
        compose_version_(std::move(compose_version)),
        credentials_(credentials) {}

  // With a spec also what the application needs here.
  std::vector<pb::Finding> Examine(const std::optional<pb::ApplicationSpec>& spec);

 private:
  pb::Finding CheckDocker();
  pb::Finding CheckAddresses();
  pb::Finding CheckCompose();
  pb::Finding CheckNginx(const std::optional<pb::ApplicationSpec>& spec);
  pb::Finding CheckReload();
  pb::Finding CheckDisk();
  pb::Finding CheckCertificate();
  std::vector<pb::Finding> CheckApplication(const pb::ApplicationSpec& spec);

  DockerEngine& engine_;
  ProcessRunner& runner_;
  const NginxOptions nginx_;
  Steps& steps_;
  const Paths paths_;
  const std::string compose_version_;
  const Credentials& credentials_;
};

}  // namespace slipway::executor
