// The release id that stands for the version that a first deployment took over: what ran on the host
// before Slipway did. It has no files, cannot be deployed, and can be gone back to while it is warm.
#pragma once

namespace slipway {

inline constexpr char kAdoptedRelease[] = "000000000000";
// Of its record.
inline constexpr char kAdoptedDescription[] = "the version that was taken over";

}  // namespace slipway
