// slipway: the command for people and CI. Everything it knows comes from AllVerbs().
#include <cstdlib>

#include "clients/cli/verb_tree.h"
#include "common/static_libc.h"

int main(int argc, char** argv) {
  slipway::LookNamesUpWithoutModules();
  // gRPC's own log is for its developers; what a person needs to know comes back as a status.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  slipway::cli::Session session;
  session.output = slipway::cli::Output::Detect();
  return slipway::cli::VerbTree(session).Run(argc, argv);
}
