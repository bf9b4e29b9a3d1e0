// A host that an application is meant for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::controller {

struct Target {
  std::string host;
  // Switched before the others.
  bool canary = false;
  // Left out of deployments until a person says otherwise.
  bool cordoned = false;
};

// In the order in which the spec names them.
using TargetLookup = std::function<std::vector<Target>(const pb::ApplicationSpec& spec)>;

}  // namespace slipway::controller
