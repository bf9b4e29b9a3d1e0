// slipway hosts cordon|drain|uncordon.
#include "absl/strings/str_cat.h"

#include "clients/cli/hosts.h"
#include "common/names.h"

namespace slipway::cli {
namespace {

absl::StatusOr<pb::CordonHostResponse> Cordon(client::ControllerClient& controller,
                                              const HostsOptions& options) {
  pb::CordonHostRequest request;
  request.set_name(HostName(options.host));
  request.set_reason(options.reason);
  request.set_request_id(client::NewRequestId());
  return controller.Call(&pb::HostService::Stub::CordonHost, request);
}

}  // namespace

int CordonHost(Session& session, const HostsOptions& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto cordoned = Cordon(**controller, options);
  if (!cordoned.ok()) return Fail(session, cordoned.status());
  if (session.output.json) {
    session.output.Json(*cordoned);
    return kExitOk;
  }
  session.output.Line(absl::StrCat(options.host, " is left out of deployments from now on"));
  for (const std::string& deployment : cordoned->deployments()) {
    session.output.Line(absl::StrCat("  ", deployment, " goes on there; `slipway hosts drain ",
                                     options.host, "` waits for it"));
  }
  return kExitOk;
}

int DrainHost(Session& session, const HostsOptions& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  while (true) {
    // Said again after each wait: it names what had begun before the cordon was there.
    const auto cordoned = Cordon(**controller, options);
    if (!cordoned.ok()) return Fail(session, cordoned.status());
    if (cordoned->deployments().empty()) {
      if (session.output.json) session.output.Json(*cordoned);
      break;
    }
    for (const std::string& deployment : cordoned->deployments()) {
      if (!session.output.json) {
        session.output.Line(absl::StrCat("waiting for ", deployment, " to end"));
      }
      const absl::Status watched =
          (*controller)->Watch(deployment, 0, /*attend=*/false, [](const pb::Event&) {
            return true;
          });
      if (!watched.ok()) return Fail(session, watched);
    }
  }
  if (!session.output.json) {
    session.output.Line(absl::StrCat(options.host,
                                     " is drained: nothing is under way there, and deployments "
                                     "leave it out until `slipway hosts uncordon ",
                                     options.host, "`"));
  }
  return kExitOk;
}

int UncordonHost(Session& session, const HostsOptions& options) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  pb::UncordonHostRequest request;
  request.set_name(HostName(options.host));
  request.set_request_id(client::NewRequestId());
  const auto uncordoned = (*controller)->Call(&pb::HostService::Stub::UncordonHost, request);
  if (!uncordoned.ok()) return Fail(session, uncordoned.status());
  if (session.output.json) {
    session.output.Json(*uncordoned);
  } else {
    session.output.Line(absl::StrCat(options.host, uncordoned->changed()
                                                       ? " takes part in deployments again"
                                                       : " was not cordoned"));
  }
  return kExitOk;
}

}  // namespace slipway::cli
