// slipway: the command for people and CI. Everything it knows comes from AllVerbs().
#include <cstdlib>
#ifdef SLIPWAY_STATIC
#include <nss.h>
#endif

#include "clients/cli/verb_tree.h"

int main(int argc, char** argv) {
#ifdef SLIPWAY_STATIC
  // What nsswitch.conf names beside these are modules for the system's libc; loaded into a program that has its own, they crash it.
  __nss_configure_lookup("hosts", "files dns");
  __nss_configure_lookup("passwd", "files");
  __nss_configure_lookup("services", "files");
#endif
  // gRPC's own log is for its developers; what a person needs to know comes back as a status.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  slipway::cli::Session session;
  session.output = slipway::cli::Output::Detect();
  return slipway::cli::VerbTree(session).Run(argc, argv);
}
