// Where an application stands on its hosts, and by which policy it is deployed. Deploying takes both as they are: by naming other
// hosts, ports, projects or files an application could take over what is somebody else's there, and by another policy it could
// let itself in. So changing them is an operator's to say.
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
