// May this ref change this application? Decided on what is verified of the caller; nothing that a workflow or a repository says
// about itself can widen it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "controller/access/caller.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::controller {

// `*` in the pattern stands for any text, `/` included; everything else for itself.
bool MatchesRef(absl::string_view pattern, absl::string_view ref);

// The policy must be the one that is stored, not one that comes with the request. PERMISSION_DENIED with reason
//   REF_CHECK_ONLY, REF_NOT_ALLOWED   by the caller's ref
//   REF_NOT_KNOWN                     the policy names refs, and nothing (verified, where it has to be) is known of the caller's
absl::Status CheckRef(const pb::PolicySpec& policy, const Caller& caller);

}  // namespace slipway::controller
