#include "executor/drivers/compose_cli.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/status.h"
#include "executor/drivers/compose_document.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using std::chrono::steady_clock;

// The last lines of a program's complaint, which hold the cause.
std::string LastLines(const ProcessResult& result) {
  const std::string& text =
      result.standard_error.empty() ? result.standard_output : result.standard_error;
  std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  if (lines.size() > 6) lines.erase(lines.begin(), lines.end() - 6);
  std::string joined = absl::StrJoin(lines, "; ");
  while (absl::EndsWith(joined, ".")) joined.pop_back();
  return joined;
}

}  // namespace

ComposeCli::ComposeCli(ProcessRunner& runner, const std::string& socket,
                       std::vector<std::string> program, std::string version)
    : runner_(&runner),
      engine_(absl::StrCat("unix://", socket)),
      program_(std::move(program)),
      version_(std::move(version)) {}

int ComposeCli::Generation() const { return absl::StartsWith(version_, "1.") ? 1 : 2; }

absl::StatusOr<ComposeCli> ComposeCli::Detect(ProcessRunner& runner, const std::string& socket,
                                              std::vector<std::string> program) {
  std::vector<std::vector<std::string>> candidates = {{"docker", "compose"}, {"docker-compose"}};
  if (!program.empty()) candidates = {std::move(program)};
  for (const std::vector<std::string>& candidate : candidates) {
    Command command;
    command.argv = candidate;
    command.argv.insert(command.argv.end(), {"version", "--short"});
    const auto result = runner.Run(command);
    if (!result.ok() || !result->ok()) continue;
    std::string version(absl::StripAsciiWhitespace(result->standard_output));
    if (absl::StartsWith(version, "v")) version.erase(0, 1);
    return ComposeCli(runner, socket, candidate, std::move(version));
  }
  return Error(absl::StatusCode::kNotFound, "NO_COMPOSE",
               absl::StrCat("`", absl::StrJoin(candidates.front(), " "), "` does not run"),
               "install docker compose 2 or docker-compose 1.29");
}

absl::StatusOr<ProcessResult> ComposeCli::Run(const Project& project,
                                              std::vector<std::string> arguments,
                                              const std::vector<std::string>& services,
                                              std::map<std::string, std::string> environment,
                                              const std::filesystem::path& env_file,
                                              const CallContext& call) const {
  Command command;
  command.argv = program_;
  command.argv.insert(command.argv.end(),
                      {"--ansi", "never", "-p", project.name, "-f", project.file.string(),
                       "--project-directory", project.folder.string()});
  // Without it compose looks for a .env in the project's folder; a generated folder has none.
  if (!env_file.empty()) {
    command.argv.insert(command.argv.end(), {"--env-file", env_file.string()});
  }
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.argv.insert(command.argv.end(), services.begin(), services.end());
  command.environment = std::move(environment);
  // Without the buildx plugin the classic builder is all there is, and compose 2 does not fall back
  // by itself.
  command.environment.emplace("DOCKER_BUILDKIT", "0");
  // Whatever context somebody has chosen in ~/.docker, the containers are where the executor looks.
  command.environment.emplace("DOCKER_HOST", engine_);
  command.folder = project.folder.string();
  command.timeout = std::max(std::chrono::nanoseconds(1), call.deadline - steady_clock::now());
  command.cancellation = call.cancellation;
  command.on_line = call.on_line;
  return runner_->Run(command);
}

absl::StatusOr<nlohmann::json> ComposeCli::Config(
    const Project& project, const std::filesystem::path& env_file,
    const std::map<std::string, std::string>& variables, const CallContext& call) const {
  std::vector<std::string> arguments = {"config"};
  if (Generation() == 2) arguments.insert(arguments.end(), {"--format", "json"});
  CallContext quiet = call;
  quiet.on_line = nullptr;
  // All of them: compose 1 prints every service in any case, and a hook may run one of a profile that
  // is not active.
  std::map<std::string, std::string> environment = variables;
  environment["COMPOSE_PROFILES"] = "*";
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult result,
                           Run(project, arguments, {}, std::move(environment), env_file, quiet));
  if (!result.ok()) {
    return Failure(pb::FAILURE_REASON_INVALID_COMPOSE_FILE,
                   absl::StrCat("compose refuses the file: ", LastLines(result)));
  }
  return ParseComposeDocument(result.standard_output);
}

absl::Status ComposeCli::RunFor(pb::FailureReason reason, const Project& project,
                                std::vector<std::string> arguments,
                                const std::vector<std::string>& services,
                                const CallContext& call) const {
  const std::string verb = arguments.front();
  SLIPWAY_ASSIGN_OR_RETURN(const ProcessResult result,
                           Run(project, std::move(arguments), services, {}, "", call));
  if (result.ok()) return absl::OkStatus();
  return Failure(reason, absl::StrCat("compose ", verb, " ", absl::StrJoin(services, " "),
                                      " failed: ", LastLines(result)));
}

absl::Status ComposeCli::Build(const Project& project, const std::vector<std::string>& services,
                               const CallContext& call) const {
  return RunFor(pb::FAILURE_REASON_BUILD, project, {"build"}, services, call);
}

absl::Status ComposeCli::Pull(const Project& project, const std::vector<std::string>& services,
                              const CallContext& call) const {
  return RunFor(pb::FAILURE_REASON_BUILD, project, {"pull"}, services, call);
}

absl::Status ComposeCli::Create(const Project& project, const std::vector<std::string>& services,
                                const CallContext& call) const {
  return RunFor(pb::FAILURE_REASON_START, project, {"up", "--no-start", "--no-build"}, services,
                call);
}

absl::Status ComposeCli::Up(const Project& project, const std::vector<std::string>& services,
                            const CallContext& call) const {
  return RunFor(pb::FAILURE_REASON_START, project, {"up", "-d", "--no-recreate", "--no-build"},
                services, call);
}

absl::Status ComposeCli::Recreate(const Project& project, const std::vector<std::string>& services,
                                  const CallContext& call) const {
  return RunFor(pb::FAILURE_REASON_START, project,
                {"up", "-d", "--force-recreate", "--no-deps", "--no-build"}, services, call);
}

}  // namespace slipway::executor
