// Enum values as people read and write them: SWITCH_MODE_MARKER is `marker`, FAILURE_REASON_PORT_TAKEN is `port_taken`.
#pragma once

#include <string>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>

namespace slipway {

// Lower case, without the prefix that the enum's own name gives.
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);

template <typename Enum>
std::string EnumWord(Enum value) {
  const auto* descriptor =
      google::protobuf::GetEnumDescriptor<Enum>()->FindValueByNumber(static_cast<int>(value));
  return descriptor == nullptr ? std::to_string(static_cast<int>(value)) : EnumWord(*descriptor);
}

}  // namespace slipway
