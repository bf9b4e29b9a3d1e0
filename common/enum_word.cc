#include "common/enum_word.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace slipway {

std::string EnumWord(const google::protobuf::EnumValueDescriptor& value) {
  // buf's rule: every value of `SwitchMode` starts with SWITCH_MODE_.
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  prefix += '_';
  std::string word = value.name();
  if (absl::StartsWith(word, prefix)) word.erase(0, prefix.size());
  absl::AsciiStrToLower(&word);
  return word;
}

}  // namespace slipway
