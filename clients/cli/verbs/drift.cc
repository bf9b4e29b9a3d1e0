// slipway drift: what differs from what was deployed; and slipway reconcile, which mends it.
#include "absl/strings/str_cat.h"

#include "clients/cli/application_file.h"
#include "clients/cli/follow.h"
#include "clients/cli/interruption.h"
#include "clients/cli/verb.h"
#include "common/enum_word.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

bool IsAsItOughtToBe(const pb::HostDrift& host) {
  return host.standing() == pb::HOST_STANDING_CURRENT;
}

void ShowHost(const Output& output, const pb::HostDrift& host) {
  const Tone tone = IsAsItOughtToBe(host)                          ? Tone::kGood
                    : host.standing() == pb::HOST_STANDING_UNKNOWN ? Tone::kWarning
                                                                   : Tone::kBad;
  const bool listed = !host.differences().empty();
  output.Line(absl::StrCat(host.host(), "  ", output.Paint(tone, EnumWord(host.standing())),
                           listed || host.standing_text().empty() ? "" : "  ",
                           listed ? "" : host.standing_text()));
  for (const pb::Difference& difference : host.differences()) {
    output.Line(absl::StrCat("  ", EnumWord(difference.kind()), "  ", difference.subject(), ": ",
                             difference.text()));
  }
}

int Drift(Session& session, const std::string& named) {
  const auto app = ApplicationOf(named, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::GetDriftRequest request;
  request.set_name(ApplicationName(*app));
  const auto drift = (*controller)->Call(&pb::ApplicationService::Stub::GetDrift, request);
  if (!drift.ok()) return Fail(session, drift.status());
  int differ = 0;
  int unknown = 0;
  for (const pb::HostDrift& host : drift->hosts()) {
    unknown += host.standing() == pb::HOST_STANDING_UNKNOWN ? 1 : 0;
    differ += IsAsItOughtToBe(host) || host.standing() == pb::HOST_STANDING_UNKNOWN ? 0 : 1;
  }
  if (session.output.json) {
    session.output.Json(*drift);
  } else if (drift->desired_release().empty()) {
    session.output.Line(absl::StrCat("nothing of ", *app, " has served yet"));
  } else {
    session.output.Line(absl::StrCat(*app, " ought to serve ", ShortName(drift->desired_release()),
                                     ": ", differ, " of ", drift->hosts_size(), " hosts differ",
                                     unknown == 0 ? "" : absl::StrCat(", ", unknown, " unknown")));
    // What has to be mended first.
    for (const bool good : {false, true}) {
      for (const pb::HostDrift& host : drift->hosts()) {
        if (IsAsItOughtToBe(host) == good) ShowHost(session.output, host);
      }
    }
    if (differ > 0) session.output.Line(absl::StrCat("mend it: slipway reconcile ", *app));
  }
  return differ == 0 && unknown == 0 ? kExitOk : kExitError;
}

struct ReconcileOptions {
  std::string app;
  std::vector<std::string> hosts;
  bool verbose = false;
};

int Reconcile(Session& session, const ReconcileOptions& options) {
  const auto app = ApplicationOf(options.app, session.file);
  if (!app.ok()) return Fail(session, app.status());
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::ReconcileApplicationRequest request;
  request.set_name(ApplicationName(*app));
  request.mutable_hosts()->Add(options.hosts.begin(), options.hosts.end());
  request.set_request_id(client::NewRequestId());
  HoldInterruptions();
  const auto begun =
      (*controller)->Call(&pb::DeploymentService::Stub::ReconcileApplication, request);
  if (!begun.ok()) return Fail(session, begun.status());
  if (!begun->has_deployment()) {
    if (session.output.json) {
      session.output.Json(*begun);
    } else {
      session.output.Line(absl::StrCat("nothing to do: every host of ", *app,
                                       " that can be reached is as it ought to be"));
    }
    return kExitOk;
  }
  FollowOptions follow;
  follow.show_logs = options.verbose;
  return FollowDeployment(session, **controller, begun->deployment(), follow);
}

}  // namespace

Verb DriftVerb() {
  return {"drift",
          "Compare what runs and serves on every host with what was deployed; 1 when it differs",
          {"slipway drift", "slipway drift gifty --output json"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto named = std::make_shared<std::string>();
            app.AddOption("APP", *named, "Default: the application of slipway.yaml");
            return [=](Session& session) { return Drift(session, *named); };
          }};
}

Verb ReconcileVerb() {
  return {"reconcile",
          "Bring hosts that are behind, or differ, to what the application ought to serve",
          {"slipway reconcile", "slipway reconcile gifty --host web-3"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto options = std::make_shared<ReconcileOptions>();
            app.AddOption("APP", options->app, "Default: the application of slipway.yaml");
            app.AddOption("--host", options->hosts,
                          "These hosts, whether they differ or not; default every one that does")
                .SeparatedBy(',');
            app.AddFlag("--verbose,-v", options->verbose, "Show what compose prints");
            return [options](Session& session) { return Reconcile(session, *options); };
          }};
}

}  // namespace slipway::cli
