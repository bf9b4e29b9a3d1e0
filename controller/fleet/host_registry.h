// The hosts that were added at run time, as the store keeps them; those of the configuration file stand beside them and win.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/fleet/fleet.h"
#include "controller/store/store.h"

namespace slipway::controller {

// Safe from several threads.
class HostRegistry {
 public:
  HostRegistry(Store& store, Fleet& fleet) : store_(store), fleet_(fleet) {}

  // Connects to everything that was added before.
  absl::Status Load();
  // True when it is new or something about it has changed. INVALID_ARGUMENT for an address or a name that is none;
  // FAILED_PRECONDITION (reason CONFIGURED_HOST) for one of the configuration file.
  absl::StatusOr<bool> Add(const HostConfig& host, const Actor& actor);
  // NOT_FOUND; FAILED_PRECONDITION (reason HOST_IN_USE) while an application names it, or CONFIGURED_HOST.
  absl::Status Remove(const std::string& host, const Actor& actor);

 private:
  absl::Status CheckNotConfigured(const std::string& host);

  Store& store_;
  Fleet& fleet_;
};

}  // namespace slipway::controller
