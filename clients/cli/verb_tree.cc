#include "clients/cli/verb_tree.h"

#include "absl/strings/str_cat.h"

namespace slipway::cli {

VerbTree::VerbTree(Session& session)
    : session_(session),
      app_("Zero-downtime deployments of compose applications behind nginx", "slipway") {
  app_.add_option("--controller", session_.controller,
                  "unix:///SOCKET, ssh://USER@HOST:PORT, tls://HOST:PORT; default this machine's")
      ->envname("SLIPWAY_CONTROLLER");
  app_.add_option("--file", session_.file, "The application file")->envname("SLIPWAY_FILE");
  app_.add_option("--ssh-key", session_.ssh_key, "Private key for ssh://, a file")
      ->envname("SLIPWAY_SSH_KEY_FILE");
  app_.add_option("--ssh-fingerprint", session_.ssh_fingerprint,
                  "The SSH host key to expect, SHA256:...; default as known_hosts says")
      ->envname("SLIPWAY_SSH_FINGERPRINT");
  app_.add_option("--authority", session_.authority, "Certificate of the controller's authority")
      ->envname("SLIPWAY_AUTHORITY");
  app_.add_option("--certificate", session_.certificate, "Your certificate for tls://")
      ->envname("SLIPWAY_CERTIFICATE");
  app_.add_option("--key", session_.key, "Its private key")->envname("SLIPWAY_KEY");
  app_.add_option("--output", output_, "text or json")->check(CLI::IsMember({"text", "json"}));
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.failure_message(CLI::FailureMessage::simple);
  app_.footer(
      "Exit codes: 0 done or nothing to do, 1 error, 2 usage or a bad file, 3 failed before the "
      "switch,\n"
      "4 rolled back, 5 needs attention, 6 cancelled, 7 controller unreachable, 8 refused.");
  for (const Verb& verb : AllVerbs()) {
    CLI::App* command = app_.add_subcommand(verb.name, verb.summary);
    std::string examples = "Examples:";
    for (const std::string& example : verb.examples) absl::StrAppend(&examples, "\n  ", example);
    command->footer(examples);
    verbs_.emplace_back(command, verb.declare(*command));
  }
}

int VerbTree::Run() {
  session_.output.json = output_ == "json";
  for (const auto& [command, run] : verbs_) {
    if (command->parsed()) return run(session_);
  }
  return kExitUsage;
}

}  // namespace slipway::cli
