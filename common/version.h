// The version that every program of this build reports.
#pragma once

namespace slipway {
// SLIPWAY_VERSION comes from the project() line of CMakeLists.txt.
inline constexpr char kVersion[] = SLIPWAY_VERSION;
}  // namespace slipway
