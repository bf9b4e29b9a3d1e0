#include "executor/drivers/env_redactor.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <nlohmann/json.hpp>

#include "common/status.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

// Shorter values are no secrets, and would be found everywhere.
constexpr size_t kLeastValue = 4;
constexpr size_t kRun = 8;
// Runs are kept of so much of a value, and messages are cut off at as much, so that no later part of a
// long value is ever shown.
constexpr size_t kLongest = 4096;
// A longer path is not encoded character by character.
constexpr size_t kEncodedWhole = 60;

std::string Quoted(absl::string_view value) {
  const std::string text =
      nlohmann::json(std::string(value))
          .dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

}  // namespace

EnvRedactor::EnvRedactor(const Environment& environment, const EnvTokens& tokens,
                         absl::string_view known) {
  const std::string lower = absl::AsciiStrToLower(known);
  for (const auto& [token, name] : tokens.Names())
    needles_.push_back({token, absl::StrCat("${", name, "}")});
  for (const auto& [name, whole] : environment) {
    const std::string value = whole.substr(0, kLongest);
    for (const std::string& form :
         {value, absl::StrReplaceAll(value, {{"$", "$$"}}), absl::CHexEscape(value),
          absl::CEscape(value), absl::Utf8SafeCEscape(value), Quoted(value),
          std::filesystem::path(value).lexically_normal().string(),
          EncodedPath(value.substr(0, kEncodedWhole))}) {
      Add(form, absl::StrCat("${", name, "}"), lower);
    }
  }
  std::stable_sort(needles_.begin(), needles_.end(),
                   [](const Needle& a, const Needle& b) { return a.text.size() > b.text.size(); });
  for (size_t at = 0; at + kRun <= lower.size(); ++at) runs_.erase(lower.substr(at, kRun));
}

void EnvRedactor::Add(absl::string_view value, const std::string& shown, absl::string_view known) {
  const std::string text = absl::AsciiStrToLower(value);
  if (text.size() < kLeastValue || absl::StrContains(known, text)) return;
  for (size_t at = 0; at + kRun <= text.size(); ++at) runs_.emplace(text.substr(at, kRun), shown);
  const bool listed = std::any_of(needles_.begin(), needles_.end(),
                                  [&text](const Needle& needle) { return needle.text == text; });
  if (!listed) needles_.push_back({text, shown});
}

void EnvRedactor::HideRuns(std::string& text, std::string& lower) const {
  for (size_t at = 0; at + kRun <= lower.size(); ++at) {
    const auto found = runs_.find(lower.substr(at, kRun));
    if (found == runs_.end()) continue;
    size_t end = at + kRun;
    while (end < lower.size() && runs_.contains(lower.substr(end + 1 - kRun, kRun))) ++end;
    text.replace(at, end - at, found->second);
    lower.replace(at, end - at, std::string(found->second.size(), '\0'));
    at += found->second.size() - 1;
  }
}

std::string EnvRedactor::Hide(absl::string_view text) const {
  std::string hidden(text);
  std::string lower = absl::AsciiStrToLower(hidden);
  for (const Needle& needle : needles_) {
    size_t at = lower.find(needle.text);
    while (at != std::string::npos) {
      hidden.replace(at, needle.text.size(), needle.shown);
      // Not to be found again: what is shown holds no value.
      lower.replace(at, needle.text.size(), std::string(needle.shown.size(), '\0'));
      at = lower.find(needle.text, at + needle.shown.size());
    }
  }
  HideRuns(hidden, lower);
  return hidden;
}

absl::Status EnvRedactor::Hide(const absl::Status& status) const {
  if (status.ok()) return status;
  absl::Status hidden(status.code(), Hide(status.message().substr(0, kLongest)));
  pb::ErrorDetail detail = DetailOf(status);
  detail.set_cure(Hide(detail.cure()));
  detail.set_subject(Hide(detail.subject()));
  if (!detail.reason().empty()) SetDetail(hidden, detail);
  return hidden;
}

}  // namespace slipway::executor
