// slipway deploy: apply the application file, send what changed, create the deployment, show it to
// its end.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/follow.h"
#include "clients/cli/plan_text.h"
#include "clients/cli/verb.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::cli {
namespace {

struct Options {
  bool detach = false;
  bool force = false;
  bool verbose = false;
  bool plan_only = false;
  std::string commit;
  std::string message;
  std::vector<std::string> update;
};

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
  const Commit commit = ReadCommit(application.folder);
  create.set_parent(ApplicationName(application.spec.app()));
  create.set_commit(options.commit.empty() ? commit.id : options.commit);
  create.set_description(options.message);
  create.set_request_id(client::NewRequestId());
  for (bool last_try = false;; last_try = true) {
    SLIPWAY_ASSIGN_OR_RETURN(
        const client::UploadStats sent,
        controller.Upload(application.folder, manifest, create.mutable_manifest_digest()));
    if (!session.output.json) {
      session.output.Line(absl::StrCat(manifest.entries_size(), " files, ", sent.files_sent,
                                       " sent (", sent.bytes_sent, " bytes)"));
    }
    auto release = controller.CreateRelease(create);
    // The controller may just have removed what nothing had used for long.
    if (last_try || DetailOf(release.status()).reason() != "BLOBS_MISSING") return release;
  }
}

int Deploy(Session& session, const Options& options) {
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
  request.mutable_update_services()->Add(options.update.begin(), options.update.end());
  request.set_validate_only(options.plan_only);
  const auto created = (*controller)->CreateDeployment(request);
  if (!created.ok()) return Fail(session, created.status());
  if (options.plan_only) return ShowPlan(session, created->plan(), created->up_to_date());
  if (created->up_to_date()) {
    if (session.output.json) {
      session.output.Json(*created);
    } else {
      session.output.Line(absl::StrCat("nothing to do: ", ShortName(release->name()),
                                       " already serves on every host (--force deploys it again)"));
    }
    return kExitOk;
  }
  if (options.detach) {
    if (session.output.json) {
      session.output.Json(*created);
    } else {
      session.output.Line(absl::StrCat(ShortName(created->deployment().name()),
                                       " has begun; `slipway watch ",
                                       ShortName(created->deployment().name()), "` shows it"));
    }
    return kExitOk;
  }
  return FollowDeployment(session, **controller, created->deployment(), options.verbose);
}

}  // namespace

Verb DeployVerb() {
  return {"deploy",
          "Deploy this folder; streams until the outcome is known",
          {"slipway deploy", "slipway deploy --message 'fix the cart'", "slipway deploy --detach"},
          [](CLI::App& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<Options>();
            app.add_flag("--detach", options->detach, "Begin, and do not wait");
            app.add_flag("--force", options->force, "Deploy also what already serves");
            app.add_flag("--verbose,-v", options->verbose, "Show what compose prints");
            app.add_option("--commit", options->commit, "Default: GITHUB_SHA, else git's HEAD");
            app.add_option("--update", options->update,
                           "Shared services to replace when their definition has changed")
                ->delimiter(',');
            app.add_option("--message,-m", options->message, "One line for the history");
            return [options](Session& session) { return Deploy(session, *options); };
          }};
}

Verb PlanVerb() {
  return {"plan",
          "Show what a deployment would change; changes nothing that runs",
          {"slipway plan", "slipway plan --output json"},
          [](CLI::App&) -> std::function<int(Session&)> {
            return [](Session& session) {
              Options options;
              options.plan_only = true;
              return Deploy(session, options);
            };
          }};
}

}  // namespace slipway::cli
