// What an ApplicationSpec must satisfy, and what is assumed where it is silent. Both sides use it: the client to answer at
// once, the controller because it trusts no client.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"

#include "slipway/v1/applications.pb.h"

namespace slipway {

// Fills in the defaults that applications.proto names.
void ApplyDefaults(v1::ApplicationSpec& spec);

// INVALID_ARGUMENT (reason INVALID_SPEC) that names the key, as `health.http.path: must start with /`.
absl::Status ValidateSpec(const v1::ApplicationSpec& spec);

// The host port of a slot.
uint32_t PortOf(const v1::ApplicationSpec& spec, v1::Slot slot);
v1::Slot OtherSlot(v1::Slot slot);
// "blue", "green"; "none" when unspecified.
std::string SlotWord(v1::Slot slot);

}  // namespace slipway
