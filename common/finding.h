// What a doctor says: one thing that was looked at, and the exact cure where it is not as it should be.
#pragma once

#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/hosts.pb.h"

namespace slipway {

// The cure is for warnings and problems.
pb::Finding Found(pb::FindingLevel level, absl::string_view subject, absl::string_view text,
                  absl::string_view cure = "");

}  // namespace slipway
