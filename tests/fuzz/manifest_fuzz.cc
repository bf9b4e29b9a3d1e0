#include <cstdint>
#include <cstdlib>

#include "absl/strings/match.h"

#include "common/manifest.h"

// Whatever list of files is let through stays below the folder that it is unpacked into.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto manifest =
      slipway::ParseManifest(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!manifest.ok()) return 0;
  for (const auto& entry : manifest->entries()) {
    const std::string& path = entry.path();
    const bool leads_out = path.empty() || path.front() == '/' || path == ".." ||
                           absl::StartsWith(path, "../") || absl::EndsWith(path, "/..") ||
                           absl::StrContains(path, "/../") || path.find('\0') != std::string::npos;
    if (leads_out) std::abort();
  }
  return 0;
}
