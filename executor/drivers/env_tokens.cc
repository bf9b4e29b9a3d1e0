#include "executor/drivers/env_tokens.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace slipway::executor {
namespace {

// Fixed width, so that no token is the beginning of another.
constexpr char kTokenStart[] = "slipwayvalue";
constexpr size_t kTokenSize = sizeof(kTokenStart) - 1 + 6;

bool IsPlain(absl::string_view value) {
  return !absl::StrContains(value, kTokenStart) &&
         std::all_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::StrContains("_./:@%+,=-", absl::string_view(&c, 1));
         });
}

}  // namespace

EnvTokens::EnvTokens(const Environment& environment) {
  for (const auto& [name, value] : environment) {
    if (IsPlain(value)) {
      absl::StrAppend(&clean_file_, name, "=", value, "\n");
      continue;
    }
    const std::string token = absl::StrFormat("%s%06d", kTokenStart, values_.size());
    values_.emplace(token, absl::StrReplaceAll(value, {{"$", "$$"}}));
    names_.emplace(token, name);
    absl::StrAppend(&clean_file_, name, "=", token, "\n");
  }
}

void EnvTokens::RestoreText(std::string& text) const {
  size_t position = text.find(kTokenStart);
  while (position != std::string::npos) {
    const auto found = values_.find(text.substr(position, kTokenSize));
    size_t resume = position + 1;
    if (found != values_.end()) {
      text.replace(position, kTokenSize, found->second);
      resume = position + found->second.size();
    }
    position = text.find(kTokenStart, resume);
  }
}

void EnvTokens::Restore(nlohmann::json& document) const {
  if (document.is_string()) {
    RestoreText(document.get_ref<std::string&>());
  } else if (document.is_structured()) {
    for (auto& child : document) Restore(child);
  }
}

}  // namespace slipway::executor
