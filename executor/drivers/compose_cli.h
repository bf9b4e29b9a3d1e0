// The compose program, either of its two versions, as commands that are values. Every call has an
// environment that is empty but for what is stated, and reads no `.env` of its own accord.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "common/protos.h"
#include "executor/drivers/workload.h"
#include "executor/process/process_runner.h"

namespace slipway::executor {

class ComposeCli {
 public:
  // `program` is {"docker", "compose"} or {"docker-compose"}; when empty, the first of these that
  // answers is taken. `socket` is the path of the Engine's. NOT_FOUND with the package to install when
  // neither does.
  static absl::StatusOr<ComposeCli> Detect(ProcessRunner& runner, const std::string& socket,
                                           std::vector<std::string> program);

  const std::string& Version() const { return version_; }
  // 1 or 2.
  int Generation() const;

  struct Project {
    std::string name;
    std::filesystem::path file;
    std::filesystem::path folder;
  };

  // The file with everything resolved; `env_file` and `variables` are all that it may refer to.
  absl::StatusOr<nlohmann::json> Config(const Project& project,
                                        const std::filesystem::path& env_file,
                                        const std::map<std::string, std::string>& variables,
                                        const CallContext& call) const;
  absl::Status Build(const Project& project, const std::vector<std::string>& services,
                     const CallContext& call) const;
  absl::Status Pull(const Project& project, const std::vector<std::string>& services,
                    const CallContext& call) const;
  // Creates the containers without starting them.
  absl::Status Create(const Project& project, const std::vector<std::string>& services,
                      const CallContext& call) const;
  // Starts the services that do not run, in the order of their dependencies; what runs is left as
  // it is.
  absl::Status Up(const Project& project, const std::vector<std::string>& services,
                  const CallContext& call) const;
  // Replaces the containers of these services alone.
  absl::Status Recreate(const Project& project, const std::vector<std::string>& services,
                        const CallContext& call) const;

 private:
  ComposeCli(ProcessRunner& runner, const std::string& socket, std::vector<std::string> program,
             std::string version);
  absl::StatusOr<ProcessResult> Run(const Project& project, std::vector<std::string> arguments,
                                    const std::vector<std::string>& services,
                                    std::map<std::string, std::string> environment,
                                    const std::filesystem::path& env_file,
                                    const CallContext& call) const;
  absl::Status RunFor(pb::FailureReason reason, const Project& project,
                      std::vector<std::string> arguments, const std::vector<std::string>& services,
                      const CallContext& call) const;

  ProcessRunner* runner_;
  std::string engine_;
  std::vector<std::string> program_;
  std::string version_;
};

}  // namespace slipway::executor
