// What an ApplicationSpec must satisfy, and what is assumed where it is silent. Both sides use it: the client to answer at
// once, the controller because it trusts no client.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"

namespace slipway {

// Fills in the defaults that applications.proto names.
void ApplyDefaults(pb::ApplicationSpec& spec);

// INVALID_ARGUMENT (reason INVALID_SPEC) that names the key, as `health.http.path: must start with /`.
absl::Status ValidateSpec(const pb::ApplicationSpec& spec);

// The host port of a slot.
uint32_t PortOf(const pb::ApplicationSpec& spec, pb::Slot slot);
// The slot whose port this is; unspecified when it is neither's.
pb::Slot SlotOfPort(const pb::ApplicationSpec& spec, uint32_t port);
pb::Slot OtherSlot(pb::Slot slot);
// How many of this many hosts are switched at once, at least 1; a percentage is rounded up.
size_t BatchSize(const pb::RolloutSpec& rollout, size_t hosts);
// "blue", "green"; "none" when unspecified.
std::string SlotWord(pb::Slot slot);

}  // namespace slipway
