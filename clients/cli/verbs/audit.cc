// slipway audit verify: is the history what it was?
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "clients/cli/history.h"
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
  if (verified->has_restore_time()) {
    output.Line(output.Paint(
        Tone::kQuiet, absl::StrCat("a backup was restored at ", UtcText(verified->restore_time()),
                                   ": what came after row ", verified->lost_after(), " is lost")));
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
          "The history of everything: list it; verify it, and what hosts remember of it",
          {"slipway audit verify", "slipway audit list --limit 50"},
          [](CommandLine& app) -> std::function<int(Session&)> {
            auto limit = std::make_shared<int>(20);
            CommandLine* list = app.AddCommand("list", "Who did what, from where; newest first");
            list->AddOption("--limit,-n", *limit, "How many").Range(1, 1000);
            app.AddCommand("verify", "Exit code 1 when anything was edited, removed or cut off");
            app.RequireCommand();
            return [list, limit](Session& session) {
              return list->Given() ? ListHistory(session, "", *limit) : Verify(session);
            };
          }};
}

}  // namespace slipway::cli
