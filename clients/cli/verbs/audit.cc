// slipway audit verify: is the history what it was?
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

int Verify(Session& session) {
  const auto controller = session.Controller();
  if (!controller.ok()) return Fail(session, controller.status());
  const auto verified =
      (*controller)->Call(&pb::DeploymentService::Stub::VerifyHistory, pb::VerifyHistoryRequest());
  if (!verified.ok()) return Fail(session, verified.status());
  const bool good = verified->problems().empty();
  if (session.output.json) {
    session.output.Json(*verified);
    return good ? kExitOk : kExitError;
  }
  const Output& output = session.output;
  output.Line(absl::StrCat(verified->rows(), " rows, head ",
                           absl::BytesToHexString(verified->head()).substr(0, 16)));
  for (const pb::KeptHead& kept : verified->kept()) {
    const bool asked = kept.sequence() != 0;
    output.Line(absl::StrCat(
        kept.host(), "  ",
        !kept.problem().empty() ? output.Paint(asked ? Tone::kBad : Tone::kWarning, kept.problem())
        : asked ? output.Paint(Tone::kGood, absl::StrCat("agrees up to row ", kept.sequence()))
                : output.Paint(Tone::kQuiet, "keeps no head yet")));
  }
  for (const std::string& problem : verified->problems()) {
    output.Error(absl::StrCat("slipway: ", problem));
  }
  output.Line(good ? output.Paint(Tone::kGood, "the history is whole")
                   : output.Paint(Tone::kBad, "the history was changed"));
  return good ? kExitOk : kExitError;
}

}  // namespace

Verb AuditVerb() {
  return {"audit",
          "Verify the history: every row, and what hosts remember of it",
          {"slipway audit verify", "slipway history --audit"},
          [](CLI::App& app) -> std::function<int(Session&)> {
            app.add_subcommand("verify",
                               "Exit code 1 when anything was edited, removed or cut off");
            app.require_subcommand(1);
            return Verify;
          }};
}

}  // namespace slipway::cli
