// slipway whoami: who one is to the controller.
#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"
#include "common/enum_word.h"

namespace slipway::cli {
namespace {

int Whoami(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto answer =
      (*controller)->Call(&pb::AccessService::Stub::GetIdentity, pb::GetIdentityRequest());
  if (!answer.ok()) return Fail(session, answer.status());
  if (session.output.json) {
    session.output.Json(*answer);
    return kExitOk;
  }
  const pb::Identity& identity = answer->identity();
  session.output.Line(absl::StrCat(
      identity.name(), ": ", EnumWord(identity.role()),
      identity.app().empty() ? " of every application" : absl::StrCat(" of ", identity.app()),
      identity.ref().empty() ? "" : absl::StrCat(", ref ", identity.ref()),
      identity.origin().empty() ? "" : absl::StrCat(", ", identity.origin()),
      identity.has_expire_time() ? absl::StrCat(", until ", UtcText(identity.expire_time())) : ""));
  return kExitOk;
}

}  // namespace

Verb WhoamiVerb() {
  return {"whoami",
          "Who you are to the controller, and what you may do",
          {"slipway whoami"},
          [](CommandLine&) -> std::function<int(Session&)> { return Whoami; }};
}

}  // namespace slipway::cli
