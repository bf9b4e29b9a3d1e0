// Jobs: services that run to their end once per release, before the candidate starts.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/compose_workload.h"
#include "executor/drivers/evidence_text.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

constexpr int kTailLines = 40;
// In the message of a failure.
constexpr int kLastWords = 3;

}  // namespace

absl::StatusOr<DockerContainer> ComposeWorkload::CreateJobContainer(const StagedRelease& release,
                                                                    const CutResult& cut,
                                                                    const std::string& job,
                                                                    const CallContext& call) {
  const DockerLabels labels = {{kLabelProject, JobsProject(release.app)}, {kLabelService, job}};
  SLIPWAY_ASSIGN_OR_RETURN(const auto others, InspectOwn(labels));
  for (const DockerContainer& other : others) {
    // Left by a crash while it ran: it goes on, and is not run beside itself.
    if (other.Label(kLabelRelease) == release.release && other.running()) return other;
    SLIPWAY_RETURN_IF_ERROR(engine_.Stop(other.id, GraceOf(other)));
    SLIPWAY_RETURN_IF_ERROR(engine_.Remove(other.id));
  }
  json project = cut.jobs;
  project["services"] = {{job, cut.jobs["services"][job]}};
  const auto target = ProjectFor(release, JobsProject(release.app), "job.json");
  SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(
      target.file, project.dump(-1, ' ', false, json::error_handler_t::replace), 0600));
  SLIPWAY_RETURN_IF_ERROR(compose_.Create(target, {job}, call));
  SLIPWAY_ASSIGN_OR_RETURN(const auto created, engine_.InspectAll(labels));
  if (created.size() != 1) {
    return absl::InternalError(
        absl::StrCat("compose made ", created.size(), " containers for job ", job));
  }
  return created.front();
}

absl::Status ComposeWorkload::RunJobs(const StagedRelease& release, const CutResult& cut,
                                      pb::SharedEvidence& evidence, const CallContext& call) {
  // Which have ended well, so that a return to this release does not run them again.
  const auto record = paths_.Generated(release.app, release.release) / "jobs.json";
  const auto text = ReadFile(record);
  json done = text.ok() ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
  if (!done.is_object()) done = json::object();
  for (const std::string& job : cut.job_order) {
    pb::JobRun& run = *evidence.add_jobs();
    run.set_service(job);
    if (done.contains(job)) {
      run.set_already_ran(true);
      continue;
    }
    SLIPWAY_ASSIGN_OR_RETURN(const DockerContainer container,
                             CreateJobContainer(release, cut, job, call));
    SLIPWAY_ASSIGN_OR_RETURN(const int exit_code,
                             RunToEnd(container, absl::StrCat("job ", job), call));
    run.set_exit_code(exit_code);
    const std::vector<std::string> tail = Tail(container.id, kTailLines);
    for (const std::string& line : tail) run.add_output_tail(EvidenceText(line));
    if (exit_code != 0) {
      const auto first = tail.end() - std::min<long>(kLastWords, static_cast<long>(tail.size()));
      return Failure(
          pb::FAILURE_REASON_HOOK,
          absl::StrCat("job ", job, " ended with exit code ", exit_code, tail.empty() ? "" : ": ",
                       EvidenceText(absl::StrJoin(first, tail.end(), "; "))));
    }
    done[job] = true;
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(record, done.dump(), 0600));
  }
  return absl::OkStatus();
}

}  // namespace slipway::executor
