// `slipway-executor remove-release`: removes the files of one release, also those that a container
// wrote as root. The executor, a plain user, runs it by sudo; its sudoers line is this command with
// the configuration file's path, and nothing else. Which release comes on standard input as
// `APP RELEASE`.
//
// Runs as root for a user who is not, so it trusts nothing but the configuration file, which must be
// root's alone, and Docker: only directories of releases below the state directory are removed, by
// openat2() without links and without other file systems, and none that a container has mounted.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"

#include "executor/drivers/docker_engine.h"
#include "executor/drivers/release_store.h"
#include "executor/process/process_runner.h"

namespace slipway::executor {

// Removes the release's directories below `state`. INVALID_ARGUMENT for names that are none,
// FAILED_PRECONDITION when a container has one of them mounted. What is gone already is fine.
absl::Status RemoveReleaseBeneath(const std::filesystem::path& state, DockerEngine& engine,
                                  const std::string& app, const std::string& release);

// The command, and its exit code.
int RemoveRelease(const std::string& config_path);

// A remover for the executor: runs `command` with the release on its standard input.
ReleaseStore::Remover RemoverBy(ProcessRunner& runner, std::vector<std::string> command);

}  // namespace slipway::executor
