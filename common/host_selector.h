// Which hosts an application means: names, and selectors of labels such as `role=web,zone!=eu`.
//
//   selector   term(,term)*          all of its terms hold
//   term       KEY=VALUE | KEY!=VALUE    a host without the label has no value, so that `zone!=eu` holds for it
//   KEY        [A-Za-z0-9][A-Za-z0-9._/-]{0,62}      VALUE   [A-Za-z0-9._-]{0,63}
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include <google/protobuf/repeated_ptr_field.h>

namespace slipway {

// The labels of each host, by its name.
using HostLabels = std::map<std::string, std::map<std::string, std::string>>;

bool IsHostSelector(absl::string_view text);

// The hosts that the entries mean, each once: in the entries' order, those of a selector by name. A name is taken as it is, known or
// not.
std::vector<std::string> SelectHosts(const google::protobuf::RepeatedPtrField<std::string>& entries,
                                     const HostLabels& known);

}  // namespace slipway
