#include "tests/support/compose_host.h"

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/spec.h"
#include "executor/executor_id.h"
#include "executor/facts.h"
#include "tests/support/file_tree.h"

namespace slipway::testing {

using executor::CallContext;
using executor::Command;
using executor::DockerContainer;

std::vector<std::string> ComposePrograms() {
  std::vector<std::string> programs = {"docker-compose"};
  if (const char* second = getenv("SLIPWAY_COMPOSE2"); second != nullptr && *second != '\0')
    programs.emplace_back(second);
  return programs;
}

std::string ComposeHost::Run(const std::vector<std::string>& argv, const std::string& folder) {
  Command command;
  command.argv = argv;
  command.folder = folder;
  command.environment = {{"DOCKER_BUILDKIT", "0"}};
  command.timeout = std::chrono::minutes(3);
  const auto result = executor::SystemProcessRunner().Run(command);
  EXPECT_TRUE(result.ok() && result->ok())
      << absl::StrJoin(argv, " ") << "\n"
      << result.status() << (result.ok() ? result->standard_error : "");
  return result.ok() ? result->standard_output : "";
}

std::string ComposeHost::Image() {
  static const std::string image = [] {
    const TemporaryFolder folder;
    std::filesystem::copy_file("/bin/busybox", folder.path() / "busybox");
    EXPECT_TRUE(WriteFileAtomically(folder.path() / "Dockerfile",
                                    "FROM scratch\nCOPY busybox /bin/busybox\n"
                                    "RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n"
                                    "STOPSIGNAL SIGKILL\nCMD [\"sleep\", \"1000000\"]\n")
                    .ok());
    Run({"docker", "build", "-q", "-t", "slipway-test/busybox:1", folder.path().string()});
    return std::string("slipway-test/busybox:1");
  }();
  return image;
}

ComposeHost::ComposeHost(const std::string& compose, const std::string& app,
                         const ComposeHost* beside)
    : app_(app), paths_(beside != nullptr ? beside->paths().State() : folder_.path() / "state") {
  Image();
  std::filesystem::create_directories(paths_.State());
  journal_ = *executor::Journal::Open(folder_.path() / "journal");
  releases_ = *executor::ReleaseStore::Open(paths_);
  auto cli = executor::ComposeCli::Detect(runner_, "/var/run/docker.sock", {compose});
  EXPECT_TRUE(cli.ok()) << cli.status();
  workload_ = std::make_unique<executor::ComposeWorkload>(*std::move(cli), engine_, *releases_,
                                                          paths_, "127.0.0.1",
                                                          *executor::ReadOrMakeExecutorId(paths_));
  site_ = std::make_unique<executor::StaticSite>(*releases_, SystemClock(), paths_);
  executor::NginxOptions nginx;
  nginx.pid_file = (folder_.path() / "nginx.pid").string();
  nginx_ = std::make_unique<executor::NginxDriver>(runner_, SystemClock(), nginx);
  health_ = std::make_unique<executor::HealthGate>(*workload_, SystemClock());
  steps_ = std::make_unique<executor::Steps>(
      executor::StepParts{*journal_, *releases_, *workload_, *site_, *nginx_, *health_,
                          SystemClock(), paths_, executor::ProcReader(), executor::HostSettings()});
  spec_.set_app(app);
  spec_.mutable_compose()->add_slotted("web");
  spec_.mutable_slots()->set_blue(21810);
  spec_.mutable_slots()->set_green(21811);
  spec_.mutable_health()->mutable_tcp();
  spec_.mutable_nginx()->set_upstream(absl::StrCat(app, "_backend"));
  ApplyDefaults(spec_);
}

ComposeHost::~ComposeHost() {
  const auto ours = [this](const std::string& name) {
    return absl::StartsWith(name, absl::StrCat(app_, "_")) ||
           absl::StartsWith(name, absl::StrCat(app_, "-"));
  };
  for (const DockerContainer& container : engine_.List({}).value_or(std::vector<DockerContainer>()))
    if (ours(container.name) || container.Label(executor::kLabelApp) == app_ ||
        ours(absl::StrCat(container.Label(executor::kLabelProject), "_"))) {
      engine_.Remove(container.id).IgnoreError();
    }
  for (const auto& network :
       engine_.ListNetworks({}).value_or(std::vector<executor::DockerNetwork>()))
    if (ours(network.name)) engine_.RemoveNetwork(network.id).IgnoreError();
  const auto lines = [](const std::vector<std::string>& argv) {
    return std::vector<std::string>(absl::StrSplit(Run(argv), '\n', absl::SkipEmpty()));
  };
  for (const std::string& volume : lines({"docker", "volume", "ls", "-q"}))
    if (ours(volume)) Run({"docker", "volume", "rm", "-f", volume});
  for (const std::string& image : lines({"docker", "images", "-q", absl::StrCat("slipway/", app_)}))
    engine_.RemoveImage(image).IgnoreError();
}

pb::Manifest ComposeHost::Upload(const Files& files, std::string* digest) {
  pb::Manifest manifest = FileTree(files);
  const auto put = [this](const std::string& bytes) {
    const std::string name = Sha256Of(bytes);
    if (releases_->Blobs().Has(name)) return name;
    auto writer = releases_->Blobs().Create(name);
    EXPECT_TRUE(writer.ok() && (*writer)->Append(bytes).ok() && (*writer)->Commit().ok());
    return name;
  };
  for (const auto& [path, content] : files) put(content);
  *digest = put(SerializeManifest(manifest));
  return manifest;
}

xpb::StepResult ComposeHost::Step(xpb::ExecuteRequest request) {
  executor::StepCall call;
  call.operation.set_app(app_);
  call.operation.set_id("d/host/step/1.1");
  call.deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  return steps_->Run(request, call);
}

xpb::StepResult ComposeHost::Stage(const Files& files, const std::string& env,
                                   std::string* release) {
  std::string digest;
  Upload(files, &digest);
  *release = absl::BytesToHexString(Sha256Of(absl::StrCat(digest, env, spec_.SerializeAsString())))
                 .substr(0, 12);
  staged_[*release] = {digest, env};
  xpb::ApplicationFacts facts = journal_->FactsOf(app_);
  facts.set_app(app_);
  *facts.mutable_spec() = spec_;
  EXPECT_TRUE(executor::Commit(*journal_, facts).ok());
  return StageAgain(*release);
}

xpb::StepResult ComposeHost::StageAgain(const std::string& release) {
  xpb::ExecuteRequest request;
  xpb::StageCommand& stage = *request.mutable_stage();
  stage.set_release(release);
  *stage.mutable_spec() = spec_;
  stage.set_manifest_digest(staged_.at(release).first);
  stage.set_env_file(staged_.at(release).second);
  stage.mutable_allowances()->Add(allowances_.begin(), allowances_.end());
  return Step(std::move(request));
}

absl::StatusOr<pb::HostPlan> ComposeHost::Plan(const Files& files, const std::string& env) {
  std::string digest;
  const pb::Manifest manifest = Upload(files, &digest);
  const executor::StagedRelease planned{app_, releases_->ScratchId(), spec_, allowances_,
                                        /*planned=*/true};
  pb::HostPlan plan;
  absl::Status done = releases_->Unpack(app_, planned.release, manifest);
  const CallContext call{std::chrono::steady_clock::now() + std::chrono::minutes(1), nullptr,
                         nullptr};
  if (done.ok()) done = workload_->Prepare(planned, manifest, env, call);
  if (done.ok()) done = workload_->PlanServices(planned, plan);
  releases_->Remove(app_, planned.release).IgnoreError();
  if (!done.ok()) return done;
  return plan;
}

xpb::StepResult ComposeHost::Build(const std::string& release) {
  xpb::ExecuteRequest request;
  request.mutable_build()->set_release(release);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Shared(const std::string& release,
                                    const std::vector<std::string>& update) {
  xpb::ExecuteRequest request;
  request.mutable_shared()->set_release(release);
  for (const std::string& service : update) request.mutable_shared()->add_update(service);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Start(const std::string& release, pb::Slot slot) {
  xpb::ExecuteRequest request;
  request.mutable_start()->set_release(release);
  request.mutable_start()->set_slot(slot);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Workers(const std::string& release) {
  xpb::ExecuteRequest request;
  request.mutable_workers()->set_release(release);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Remove(pb::Slot slot) {
  xpb::ExecuteRequest request;
  request.mutable_remove()->set_slot(slot);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Prune(const std::string& release,
                                   const std::vector<std::string>& keep) {
  xpb::ExecuteRequest request;
  request.mutable_prune()->set_release(release);
  for (const std::string& one : keep) request.mutable_prune()->add_keep_releases(one);
  return Step(std::move(request));
}

xpb::StepResult ComposeHost::Deploy(const Files& files, const std::string& env,
                                    const std::vector<std::string>& update) {
  std::string release;
  xpb::StepResult result = Stage(files, env, &release);
  const pb::Slot next = slot_ == pb::SLOT_BLUE ? pb::SLOT_GREEN : pb::SLOT_BLUE;
  const std::string previous = release_;
  if (result.succeeded()) result = Build(release);
  if (result.succeeded()) result = shared_ = Shared(release, update);
  if (result.succeeded()) result = Start(release, next);
  if (result.succeeded() && slot_ != pb::SLOT_UNSPECIFIED) result = Remove(slot_);
  if (result.succeeded() && !spec_.compose().workers().empty()) result = Workers(release);
  if (result.succeeded()) result = prune_ = Prune(release, {previous});
  if (!result.succeeded()) return result;
  slot_ = next;
  release_ = release;
  return result;
}

DockerContainer ComposeHost::Container(const std::string& service) {
  const auto containers = engine_.InspectAll({{executor::kLabelService, service}});
  if (containers.ok()) {
    for (const DockerContainer& container : *containers)
      if (container.running()) return container;
  }
  ADD_FAILURE() << "no container of " << service << " runs";
  return {};
}

std::string ComposeHost::Shell(const std::string& service, const std::string& command) {
  const auto done =
      engine_.Exec(Container(service).id, {"sh", "-c", command}, std::chrono::seconds(20));
  EXPECT_TRUE(done.ok()) << done.status();
  return done.ok() ? done->output : "";
}

}  // namespace slipway::testing
