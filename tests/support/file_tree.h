// Trees that can be uploaded, by the text of their files.
#pragma once

#include <map>
#include <string>

#include "common/digest.h"
#include "common/manifest.h"
#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::testing {

// Regular files, path to content.
inline pb::Manifest FileTree(const std::map<std::string, std::string>& files) {
  pb::Manifest manifest;
  for (const auto& [path, content] : files) {
    pb::ManifestEntry& entry = *manifest.add_entries();
    entry.set_path(path);
    entry.set_type(pb::FILE_TYPE_REGULAR);
    entry.set_digest(Sha256Of(content));
    entry.set_size(content.size());
  }
  return manifest;
}

// The smallest: a docker-compose.yml with this text.
inline pb::Manifest OneFileTree(const std::string& text) {
  return FileTree({{"docker-compose.yml", text}});
}

}  // namespace slipway::testing
