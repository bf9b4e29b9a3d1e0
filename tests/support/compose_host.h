// An executor's steps on the real Docker Engine and a real compose, without nginx and controller: what
// deployments do to containers, files and releases on a host.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/protos.h"
#include "executor/drivers/compose_workload.h"
#include "executor/drivers/docker_engine.h"
#include "executor/drivers/release_store.h"
#include "executor/process/process_runner.h"
#include "executor/steps/steps.h"
#include "tests/support/temporary_folder.h"

namespace slipway::testing {

// The compose programs of this machine: `docker-compose`, and the one that SLIPWAY_COMPOSE2 names.
std::vector<std::string> ComposePrograms();

class ComposeHost {
 public:
  using Files = std::map<std::string, std::string>;

  // `app` names everything that is made on the Engine; all of it is removed at the end. With
  // `beside`: another application in the state directory of that one.
  ComposeHost(const std::string& compose, const std::string& app,
              const ComposeHost* beside = nullptr);
  ~ComposeHost();
  ComposeHost(const ComposeHost&) = delete;
  ComposeHost& operator=(const ComposeHost&) = delete;

  // An image with busybox for a shell, which stops at once. Built once.
  static std::string Image();

  // Slotted service `web`, on two free ports; the tests add to it.
  pb::ApplicationSpec& spec() { return spec_; }
  executor::DockerEngine& engine() { return engine_; }
  executor::ReleaseStore& releases() { return *releases_; }
  executor::ComposeWorkload& workload() { return *workload_; }
  const executor::Paths& paths() const { return paths_; }
  std::vector<std::string>& allowances() { return allowances_; }

  // Uploads the files and stages them as a release; its id in `*release`.
  xpb::StepResult Stage(const Files& files, const std::string& env, std::string* release);
  xpb::StepResult StageAgain(const std::string& release);
  // What a plan says of the files.
  absl::StatusOr<pb::HostPlan> Plan(const Files& files, const std::string& env);
  xpb::StepResult Build(const std::string& release);
  xpb::StepResult Shared(const std::string& release, const std::vector<std::string>& update = {});
  xpb::StepResult Start(const std::string& release, pb::Slot slot);
  xpb::StepResult Workers(const std::string& release);
  xpb::StepResult Remove(pb::Slot slot);
  xpb::StepResult Prune(const std::string& release, const std::vector<std::string>& keep);
  // All of these, into the free slot, then the other one is removed and two releases are kept. The
  // first step that fails ends it.
  xpb::StepResult Deploy(const Files& files, const std::string& env = "",
                         const std::vector<std::string>& update = {});
  // Of the last Deploy().
  const std::string& release() const { return release_; }
  const xpb::StepResult& shared() const { return shared_; }
  const xpb::StepResult& prune() const { return prune_; }

  // The service's running container.
  executor::DockerContainer Container(const std::string& service);
  // Output of a shell in it.
  std::string Shell(const std::string& service, const std::string& command);
  // Output of a program on this host, which must end well.
  static std::string Run(const std::vector<std::string>& argv, const std::string& folder = "");

 private:
  pb::Manifest Upload(const Files& files, std::string* digest);
  xpb::StepResult Step(xpb::ExecuteRequest request);

  const std::string app_;
  TemporaryFolder folder_;
  executor::Paths paths_;
  executor::SystemProcessRunner runner_;
  executor::DockerEngine engine_;
  std::unique_ptr<executor::Journal> journal_;
  std::unique_ptr<executor::ReleaseStore> releases_;
  std::unique_ptr<executor::ComposeWorkload> workload_;
  std::unique_ptr<executor::StaticSite> site_;
  std::unique_ptr<executor::NginxDriver> nginx_;
  std::unique_ptr<executor::HealthGate> health_;
  std::unique_ptr<executor::Steps> steps_;
  pb::ApplicationSpec spec_;
  std::vector<std::string> allowances_;
  std::map<std::string, std::pair<std::string, std::string>> staged_;
  pb::Slot slot_ = pb::SLOT_UNSPECIFIED;
  std::string release_;
  xpb::StepResult shared_;
  xpb::StepResult prune_;
};

}  // namespace slipway::testing
