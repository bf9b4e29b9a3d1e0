#include "clients/cli/verb_tree.h"

#include "absl/strings/str_cat.h"

namespace slipway::cli {

VerbTree::VerbTree(Session& session)
    : session_(session),
      root_("slipway", "Zero-downtime deployments of compose applications behind nginx") {
  root_
      .AddOption("--controller", session_.controller,
                 "unix:///SOCKET, ssh://USER@HOST:PORT, tls://HOST:PORT, https://HOST; several "
                 "controllers of "
                 "one state are "
                 "separated by commas; default this machine's")
      .OrFromEnvironment("SLIPWAY_CONTROLLER");
  root_.AddOption("--file", session_.file, "The application file")
      .OrFromEnvironment("SLIPWAY_FILE");
  root_.AddOption("--ssh-key", session_.ssh_key, "Private key for ssh://, a file")
      .OrFromEnvironment("SLIPWAY_SSH_KEY_FILE");
  root_
      .AddOption("--ssh-fingerprint", session_.ssh_fingerprint,
                 "The SSH host key to expect, SHA256:...; default as known_hosts says")
      .OrFromEnvironment("SLIPWAY_SSH_FINGERPRINT");
  root_.AddOption("--authority", session_.authority, "Certificate of the controller's authority")
      .OrFromEnvironment("SLIPWAY_AUTHORITY");
  root_.AddOption("--certificate", session_.certificate, "Your certificate for tls://")
      .OrFromEnvironment("SLIPWAY_CERTIFICATE");
  root_.AddOption("--key", session_.key, "Its private key").OrFromEnvironment("SLIPWAY_KEY");
  root_.AddOption("--output", output_, "text or json").OneOf({"text", "json"});
  root_.RequireCommand();
  root_.SetFooter(
      "Exit codes: 0 done or nothing to do, 1 error, 2 usage or a bad file, 3 failed before the "
      "switch,\n"
      "4 rolled back, 5 needs attention, 6 cancelled, 7 controller unreachable, 8 refused.");
  for (const Verb& verb : AllVerbs()) {
    CommandLine* command = root_.AddCommand(verb.name, verb.summary);
    std::string examples = "Examples:";
    for (const std::string& example : verb.examples) absl::StrAppend(&examples, "\n  ", example);
    command->SetFooter(examples);
    verbs_.emplace_back(command, verb.declare(*command));
  }
}

std::optional<int> VerbTree::Parse(int argc, char** argv) {
  const std::optional<int> ended = root_.Parse(argc, argv);
  if (!ended) return std::nullopt;
  return *ended == 0 ? kExitOk : kExitUsage;
}

int VerbTree::Run(int argc, char** argv) {
  if (const std::optional<int> ended = Parse(argc, argv)) return *ended;
  session_.output.json = output_ == "json";
  for (const auto& [command, run] : verbs_) {
    if (command->Given()) return run(session_);
  }
  return kExitUsage;
}

}  // namespace slipway::cli
