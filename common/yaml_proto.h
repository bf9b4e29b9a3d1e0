// Strict YAML onto a protobuf message: slipway.yaml and the daemons' own configuration files. Keys are the message's field
// names, enum values their lower-case words (see enum_word.h), durations 250ms, 10s, 5m. In place of a list of texts, or of one of
// them, labels may stand: {role: web, zone: eu} is read as the text role=web,zone=eu.
//
// What YAML lets pass is refused here, with file:line:column: unknown keys (with the nearest known one), keys that come
// twice, values of another type, several members of a oneof.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <google/protobuf/message.h>

namespace slipway {

// Fills `message` from the text; `file` names it in errors. INVALID_ARGUMENT, reason INVALID_YAML.
absl::Status ParseYaml(absl::string_view text, absl::string_view file,
                       google::protobuf::Message& message);

}  // namespace slipway
