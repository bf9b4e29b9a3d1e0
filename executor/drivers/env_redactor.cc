#include "executor/drivers/env_redactor.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include <nlohmann/json.hpp>

#include "common/status.h"

namespace slipway::executor {
namespace {

// Shorter values are no secrets, and would be found everywhere.
constexpr size_t kLeastValue = 4;
// Of a part of a value, between characters at which programs cut texts.
constexpr size_t kLeastPart = 8;
// So much of a value's beginning is recognised when the rest was cut off.
constexpr size_t kSeed = 12;
constexpr char kSeparators[] = "/:,=@ \t\r\n\"'`;&?#|";

std::string Quoted(absl::string_view value) {
  const std::string text = nlohmann::json(std::string(value))
                               .dump(-1, ' ', /*ensure_ascii=*/false,
                                     nlohmann::json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

}  // namespace

EnvRedactor::EnvRedactor(const Environment& environment, const EnvTokens& tokens,
                         absl::string_view known)
    : known_(absl::AsciiStrToLower(known)) {
  for (const auto& [token, name] : tokens.Names())
    needles_.push_back({token, absl::StrCat("${", name, "}")});
  for (const auto& [name, value] : environment) {
    for (const std::string& form :
         {value, absl::StrReplaceAll(value, {{"$", "$$"}}), absl::CHexEscape(value),
          absl::CEscape(value), absl::Utf8SafeCEscape(value), Quoted(value),
          std::filesystem::path(value).lexically_normal().string()}) {
      Add(form, name, kLeastValue);
    }
    for (const absl::string_view part : absl::StrSplit(value, absl::ByAnyChar(kSeparators)))
      Add(part, name, kLeastPart);
  }
  std::stable_sort(needles_.begin(), needles_.end(), [](const Needle& a, const Needle& b) {
    return a.text.size() > b.text.size();
  });
  known_.clear();
}

void EnvRedactor::Add(absl::string_view value, const std::string& name, size_t least) {
  const std::string text = absl::AsciiStrToLower(value);
  if (text.size() < least || absl::StrContains(known_, text)) return;
  const bool listed = std::any_of(needles_.begin(), needles_.end(),
                                  [&text](const Needle& needle) { return needle.text == text; });
  if (!listed) needles_.push_back({text, absl::StrCat("${", name, "}")});
}

std::string EnvRedactor::Hide(absl::string_view text) const {
  std::string hidden(text);
  std::string lower = absl::AsciiStrToLower(hidden);
  for (const Needle& needle : needles_) {
    const std::string seed = needle.text.substr(0, kSeed);
    size_t at = lower.find(seed);
    while (at != std::string::npos) {
      size_t length = seed.size();
      while (length < needle.text.size() && at + length < lower.size() &&
             lower[at + length] == needle.text[length]) {
        ++length;
      }
      hidden.replace(at, length, needle.shown);
      // Not to be found again: what is shown holds no value.
      lower.replace(at, length, std::string(needle.shown.size(), '\0'));
      at = lower.find(seed, at + needle.shown.size());
    }
  }
  return hidden;
}

absl::Status EnvRedactor::Hide(const absl::Status& status) const {
  if (status.ok()) return status;
  absl::Status hidden(status.code(), Hide(status.message()));
  pb::ErrorDetail detail = DetailOf(status);
  detail.set_cure(Hide(detail.cure()));
  detail.set_subject(Hide(detail.subject()));
  if (!detail.reason().empty()) SetDetail(hidden, detail);
  return hidden;
}

}  // namespace slipway::executor
