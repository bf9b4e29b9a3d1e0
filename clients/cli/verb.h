// A verb of `slipway` as data: what it is called, what it says of itself, and how it runs. One file
// per verb in verbs/.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "clients/cli/command_line.h"
#include "clients/cli/output.h"
#include "clients/cli/session.h"
#include "clients/controller_client.h"

namespace slipway::cli {

// Exit codes, the same for every verb; docs/cli.md has the same table.
enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitFailedBeforeSwitch = 3,
  kExitRolledBack = 4,
  kExitNeedsAttention = 5,
  kExitCancelled = 6,
  kExitUnreachable = 7,
  kExitRefused = 8,
  kExitPaused = 9,
  kExitPartial = 10,
  kExitSuperseded = 11,
};

struct Verb {
  std::string name;
  std::string summary;
  // Lines of the form `slipway deploy`, shown by --help.
  std::vector<std::string> examples;
  // Declares options and answers what runs; the options' storage lives in the closure.
  std::function<std::function<int(Session&)>(CommandLine&)> declare;
};

// In the order of the help page.
const std::vector<Verb>& AllVerbs();

// Prints the error with what to do, and answers the exit code for it.
int Fail(const Session& session, const absl::Status& status);

Verb InitVerb();
Verb ApplyVerb();
Verb PlanVerb();
Verb DeployVerb();
Verb WatchVerb();
Verb StatusVerb();
Verb DriftVerb();
Verb ReconcileVerb();
Verb HistoryVerb();
Verb WhyVerb();
Verb LogsVerb();
Verb RollbackVerb();
Verb CancelVerb();
Verb AbortVerb();
Verb ResumeVerb();
Verb EnvVerb();
Verb HostsVerb();
Verb CheckVerb();
Verb TokenVerb();
Verb TrustVerb();
Verb CertificateVerb();
Verb AllowVerb();
Verb AuditVerb();
Verb WhoamiVerb();
Verb DoctorVerb();
Verb VersionVerb();
Verb CompletionVerb();

}  // namespace slipway::cli
