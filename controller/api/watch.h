// One watcher of one deployment, without a thread and without a queue of its own: it reads a page of events from the Store,
// writes them one after another, and reads the next page when the last one has left. A watcher that reads slowly only keeps
// itself waiting. Out of events it sleeps until the EventHub calls.
#pragma once

#include "controller/rollout/attendance.h"
#include "controller/rollout/event_hub.h"
#include "controller/store/store.h"

#include "slipway/v1/deployments.grpc.pb.h"

namespace slipway::controller {

// Ends the call at once. The reactors delete themselves when the call is over.
grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* RefuseWatch(const absl::Status& refused);
grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* StartWatch(
    Store& store, EventHub& hub, Attendance& attendance, const pb::WatchDeploymentRequest& request);

}  // namespace slipway::controller
