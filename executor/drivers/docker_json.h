// The Engine's JSON as our structs. Nothing here throws: what is absent or of another type is left
// at its default.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "executor/drivers/docker_engine.h"

namespace slipway::executor {

using DockerJson = nlohmann::json;

// INTERNAL when it is not JSON.
absl::StatusOr<DockerJson> ParseDockerJson(absl::string_view text);

std::string StringAt(const DockerJson& json, const char* key);
int64_t IntAt(const DockerJson& json, const char* key);
bool BoolAt(const DockerJson& json, const char* key);
// The member, or null.
const DockerJson& MemberAt(const DockerJson& json, const char* key);
std::map<std::string, std::string> StringsAt(const DockerJson& json, const char* key);

DockerContainer ContainerFromInspect(const DockerJson& json);
DockerContainer ContainerFromList(const DockerJson& json);
DockerImage ImageFromJson(const DockerJson& json);
DockerEvent EventFromJson(const DockerJson& json);

// Text for a body; bytes that are not UTF-8 are replaced.
std::string DumpDockerJson(const DockerJson& json);
// The value of a `filters` parameter: {"label":["a=b","c"], ...}.
DockerJson LabelFilter(const DockerLabels& labels);

}  // namespace slipway::executor
