// slipway deploy: apply the application file, send what changed, create the deployment, show it to
// its end.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/follow.h"
#include "clients/cli/github.h"
#include "clients/cli/interruption.h"
#include "clients/cli/plan_text.h"
#include "clients/cli/verb.h"
#include "common/durations.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

struct Options {
  bool detach = false;
  bool force = false;
  bool hold = false;
  bool override_policy = false;
  bool cancel_on_signal = false;
  bool verbose = false;
  std::string commit;
  std::string commit_time;
  std::string message;
  std::vector<std::string> update;
  bool skip_offline = false;
};

// Sends what the controller lacks of the working copy; answers the digest that names all of it.
absl::StatusOr<std::string> SendWorkingCopy(Session& session, client::ControllerClient& controller,
                                            const ApplicationFile& application,
                                            const pb::Manifest& manifest) {
  std::string digest;
  SLIPWAY_ASSIGN_OR_RETURN(const client::UploadStats sent,
                           controller.Upload(application.content, manifest, &digest));
  if (!session.output.json) {
    session.output.Line(absl::StrCat(manifest.entries_size(), " files, ", sent.files_sent,
                                     " sent (", sent.bytes_sent, " bytes)"));
  }
  return digest;
}

std::string CommitOf(const ApplicationFile& application, const Options& options) {
  return options.commit.empty() ? ReadCommit(application.folder).id : options.commit;
}

// When the commit was made; nothing when nobody says.
absl::StatusOr<std::optional<absl::Time>> CommitTimeOf(const ApplicationFile& application,
                                                       const Options& options) {
  if (options.commit_time.empty()) {
    const Commit commit = ReadCommit(application.folder);
    return commit.id == CommitOf(application, options) ? commit.time : std::nullopt;
  }
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, options.commit_time, &time, nullptr)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TIME",
                 absl::StrCat("--commit-time: '", options.commit_time, "' is no time"),
                 "write it as 2026-11-24T08:30:00+01:00: git log -1 --format=%cI");
  }
  return time;
}

// The release of the working copy, sent and made.
absl::StatusOr<pb::Release> MakeRelease(Session& session, client::ControllerClient& controller,
                                        const ApplicationFile& application,
                                        const Options& options) {
  pb::ApplyApplicationRequest apply;
  *apply.mutable_spec() = application.spec;
  apply.set_request_id(client::NewRequestId());
  SLIPWAY_RETURN_IF_ERROR(controller.Apply(apply).status());

  SLIPWAY_ASSIGN_OR_RETURN(const pb::Manifest manifest, ScanWorkingCopy(application));
  pb::CreateReleaseRequest create;
  create.set_parent(ApplicationName(application.spec.app()));
  create.set_commit(CommitOf(application, options));
  SLIPWAY_ASSIGN_OR_RETURN(const auto commit_time, CommitTimeOf(application, options));
  if (commit_time) *create.mutable_commit_time() = ToProto(absl::ToChronoTime(*commit_time));
  create.set_description(options.message);
  create.set_request_id(client::NewRequestId());
  for (bool last_try = false;; last_try = true) {
    SLIPWAY_ASSIGN_OR_RETURN(*create.mutable_manifest_digest(),
                             SendWorkingCopy(session, controller, application, manifest));
    auto release = controller.CreateRelease(create);
    // The controller may just have removed what nothing had used for long.
    if (last_try || DetailOf(release.status()).reason() != "BLOBS_MISSING") return release;
  }
}

int Plan(Session& session, const Options& options) {
  const auto application = ReadApplicationFile(session.file);
  if (!application.ok()) return Fail(session, application.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto manifest = ScanWorkingCopy(*application);
  if (!manifest.ok()) return Fail(session, manifest.status());
  const auto digest = SendWorkingCopy(session, **controller, *application, *manifest);
  if (!digest.ok()) return Fail(session, digest.status());

  pb::CreateDeploymentRequest request;
  request.set_parent(ApplicationName(application->spec.app()));
  request.set_validate_only(true);
  *request.mutable_draft()->mutable_spec() = application->spec;
  request.mutable_draft()->set_manifest_digest(*digest);
  request.mutable_draft()->set_commit(CommitOf(*application, options));
  request.set_skip_offline(options.skip_offline);
  const auto planned = (*controller)->CreateDeployment(request);
  if (!planned.ok()) return Fail(session, planned.status());
  return ShowPlan(session, planned->plan(), planned->up_to_date());
}

int NothingToDo(const Session& session, const pb::Release& release) {
  session.output.Line(absl::StrCat("nothing to do: ", ShortName(release.name()),
                                   " already serves on every host (--force deploys it again)"));
  if (session.output.github) TellJobOfNothingToDo(release);
  return kExitOk;
}

int Deploy(Session& session, const Options& options) {
  session.override_policy = options.override_policy;
  const auto application = ReadApplicationFile(session.file);
  if (!application.ok()) return Fail(session, application.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto release = MakeRelease(session, **controller, *application, options);
  if (!release.ok()) return Fail(session, release.status());

  pb::CreateDeploymentRequest request;
  request.set_parent(ApplicationName(application->spec.app()));
  request.set_release(release->name());
  request.set_request_id(client::NewRequestId());
  request.set_force(options.force);
  request.set_hold_before_flip(options.hold);
  request.set_skip_offline(options.skip_offline);
  request.set_detached(options.detach);
  request.mutable_update_services()->Add(options.update.begin(), options.update.end());
  HoldInterruptions();
  const auto created = (*controller)->CreateDeployment(request);
  if (!created.ok()) return Fail(session, created.status());
  if (session.output.json && (created->up_to_date() || options.detach)) {
    session.output.Json(*created);
    return kExitOk;
  }
  if (created->up_to_date()) return NothingToDo(session, *release);
  if (options.detach) {
    const std::string name = ShortName(created->deployment().name());
    if (session.output.github) TellJobOfBegin(created->deployment());
    session.output.Line(absl::StrCat(name, " has begun; `slipway watch ", name, "` shows it"));
    return kExitOk;
  }
  return FollowDeployment(session, **controller, created->deployment(),
                          {options.verbose, options.cancel_on_signal, /*attend=*/true});
}

}  // namespace

Verb DeployVerb() {
  return {"deploy",
          "Deploy this folder; streams until the outcome is known",
          {"slipway deploy", "slipway deploy --message 'fix the cart'", "slipway deploy --detach"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddFlag("--detach", options->detach, "Begin, and do not wait");
            app.AddFlag("--cancel-on-signal", options->cancel_on_signal,
                        "SIGINT and SIGTERM cancel the deployment; a second one leaves");
            app.AddFlag("--force", options->force, "Deploy also what already serves");
            app.AddFlag("--hold-before-flip", options->hold,
                        "Prepare every host, and switch none before `slipway resume`");
            app.AddFlag("--skip-offline", options->skip_offline,
                        "Go on without hosts that do not answer; they catch up later");
            app.AddFlag("--verbose,-v", options->verbose, "Show what compose prints");
            app.AddOption("--commit", options->commit, "Default: GITHUB_SHA, else git's HEAD");
            app.AddOption("--commit-time", options->commit_time,
                          "When it was made (git log -1 --format=%cI), for the lead time");
            app.AddOption("--update", options->update,
                          "Shared services to replace when their definition has changed")
                .SeparatedBy(',');
            app.AddFlag("--override-policy", options->override_policy,
                        "As an operator: whatever the ref policy and the checks say");
            app.AddOption("--message,-m", options->message, "One line for the history");
            return [options](Session& session) { return Deploy(session, *options); };
          }};
}

Verb PlanVerb() {
  return {"plan",
          "Show what a deployment would change; changes nothing that runs",
          {"slipway plan", "slipway plan --output json"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.AddOption("--commit", options->commit, "Default: GITHUB_SHA, else git's HEAD");
            app.AddFlag("--skip-offline", options->skip_offline,
                        "Go on without hosts that do not answer; they catch up later");
            return [options](Session& session) { return Plan(session, *options); };
          }};
}

}  // namespace slipway::cli
