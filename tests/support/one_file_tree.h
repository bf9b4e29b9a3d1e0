// The smallest tree that can be uploaded.
#pragma once

#include <string>

#include "common/digest.h"
#include "common/manifest.h"
#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::testing {

// A docker-compose.yml with this text.
inline pb::Manifest OneFileTree(const std::string& text) {
  pb::Manifest manifest;
  pb::ManifestEntry& entry = *manifest.add_entries();
  entry.set_path("docker-compose.yml");
  entry.set_type(pb::FILE_TYPE_REGULAR);
  entry.set_digest(Sha256Of(text));
  entry.set_size(text.size());
  return manifest;
}

}  // namespace slipway::testing
