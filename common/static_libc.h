// What a program with a libc of its own must do first. nsswitch.conf may name modules that were built for the system's libc;
// loaded into such a program they crash it.
#pragma once

#ifdef SLIPWAY_STATIC
#include <nss.h>
#endif

namespace slipway {

// Names of hosts, users and services are looked up in files, and hosts in DNS. Does nothing in a program without SLIPWAY_STATIC.
inline void LookNamesUpWithoutModules() {
#ifdef SLIPWAY_STATIC
  __nss_configure_lookup("hosts", "files dns");
  __nss_configure_lookup("passwd", "files");
  __nss_configure_lookup("group", "files");
  __nss_configure_lookup("services", "files");
#endif
}

}  // namespace slipway
