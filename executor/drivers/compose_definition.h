// What a service is made of: the image of each, and for shared services a definition that can be
// compared with what runs. Parts of compose_cut.h. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "executor/drivers/compose_cut.h"
#include "executor/drivers/docker_engine.h"

namespace slipway::executor {

// INVALID_COMPOSE_FILE, of one service.
absl::Status WrongService(absl::string_view service, absl::string_view what,
                          absl::string_view cure = "");

// Fills in `images` and `builds`.
absl::Status PlanImages(const CutInput& input, CutResult& result);

// Those of a build section's additional contexts that are directories of the release: the text that
// names one, with a `NAME=` before the path in lists, and its path in the release.
std::vector<std::pair<std::string*, std::string>> LocalContextsIn(
    nlohmann::json& section, const std::string& release_folder);

// {"text": DIGEST, "image": NAME, "files": {PATH: DIGEST}}: the service's text in the compose file
// whichever release it came with, the image when it is built, and the content of what it binds out of
// the release. Needs `images` and `shared_paths`.
nlohmann::json DefinitionParts(const CutInput& input, const ReleaseContent& content,
                               const CutResult& result, const std::string& service);
std::string DefinitionOf(const nlohmann::json& parts);

// How a shared service that is there differs from the release.
enum class SharedState {
  kSame,
  kChanged,
  // It was not started by Slipway, and nothing that can be compared differs.
  kUnknown,
};
// `changes` (may be null) gets one text for people per difference.
SharedState CompareShared(const DockerContainer& container, const CutResult& cut,
                          std::vector<std::string>* changes);

}  // namespace slipway::executor
