// Who makes a call, as established by the guard.
#pragma once

#include <string>

#include "common/protos.h"
#include "controller/store/records.h"

#include "slipway/v1/access.pb.h"

namespace slipway::controller {

struct Caller {
  pb::Identity identity;
  // For the history.
  Actor actor;
  // The git ref and nothing verified about it: what the client says it deploys.
  std::string claimed_ref;
  // An operator's word that the ref policy and the checks of the application do not matter this time.
  bool override_policy = false;
};

}  // namespace slipway::controller
