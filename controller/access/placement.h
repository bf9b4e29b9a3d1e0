// Where an application stands on its hosts: which hosts, ports, compose project and nginx file are its own. Deploying takes them
// as they are; by naming others an application could take over what is somebody else's there, so that is an operator's to say.
#pragma once

#include "absl/status/status.h"

#include "controller/access/caller.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::controller {

// `stored` is null for an application that is not known yet; both have their defaults filled in. PERMISSION_DENIED (reason
// PLACEMENT) that names each key that would change.
absl::Status CheckPlacement(const pb::ApplicationSpec* stored, const pb::ApplicationSpec& wished,
                            const Caller& caller);

}  // namespace slipway::controller
