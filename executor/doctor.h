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
  // `remove_release` is the command that removes what containers wrote as root; empty where the executor
  // is root itself.
  Doctor(DockerEngine& engine, ProcessRunner& runner, NginxOptions nginx,
         std::vector<std::string> remove_release, Steps& steps, Paths paths,
         std::string compose_version, const Credentials& credentials)
      : engine_(engine),
        runner_(runner),
        nginx_(std::move(nginx)),
        remove_release_(std::move(remove_release)),
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
  pb::Finding CheckRemoval();
  // Whether sudo would run the command; `allowance` is what its line in sudoers says, empty for the
  // command itself.
  pb::Finding CheckSudo(const std::string& subject, const std::vector<std::string>& argv,
                        const std::string& allowance);
  pb::Finding CheckDisk();
  pb::Finding CheckCertificate();
  std::vector<pb::Finding> CheckApplication(const pb::ApplicationSpec& spec);

  DockerEngine& engine_;
  ProcessRunner& runner_;
  const NginxOptions nginx_;
  const std::vector<std::string> remove_release_;
  Steps& steps_;
  const Paths paths_;
  const std::string compose_version_;
  const Credentials& credentials_;
};

}  // namespace slipway::executor
