// slipway: the command for people and CI. Everything it knows comes from AllVerbs().
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"

#include "clients/cli/verb.h"
#include "clients/cli/verb_tree.h"

int main(int argc, char** argv) {
  // gRPC's own log is for its developers; what a person needs to know comes back as a status.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  slipway::cli::Session session;
  session.output = slipway::cli::Output::Detect();
  slipway::cli::VerbTree tree(session);
  try {
    tree.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = tree.app().exit(error);
    return code == 0 ? slipway::cli::kExitOk : slipway::cli::kExitUsage;
  }
  return tree.Run();
}
