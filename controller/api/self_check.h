// What `slipway doctor` says of the controller itself, each finding with its cure.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "controller/access/certificates.h"
#include "controller/fleet/fleet.h"

#include "slipway/v1/hosts.pb.h"

namespace slipway::controller {

// Looks at what is there; asks no host.
std::vector<pb::Finding> CheckController(const std::filesystem::path& state, bool history_intact,
                                         const Certificates& certificates, Fleet& fleet, Time now);

// When the newest backup was begun, nothing without one.
pb::Finding CheckBackup(std::optional<Time> newest, Time now);

// Whether a host's clock is this one's: it was read there between `before` and `after`, both read here. Certificates go by it.
pb::Finding CheckClock(Time before, Time there, Time after);

}  // namespace slipway::controller
