#include "executor/drivers/compose_findings.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "executor/failure.h"

namespace slipway::executor {

void ComposeFindings::Add(const std::string& service, const std::string& key,
                          const std::string& value, const std::string& where) {
  const std::string any = absl::StrCat(service, ":", key);
  const std::string exact = value.empty() ? any : absl::StrCat(any, ":", value);
  findings_.push_back({any, exact, where, absl::StrCat("--add ", exact)});
}

absl::Status ComposeFindings::Verdict(const std::vector<std::string>& allowances) const {
  const std::set<std::string> allowed(allowances.begin(), allowances.end());
  std::vector<std::string> keys;
  std::set<std::string> cures;
  for (const Finding& finding : findings_) {
    if (allowed.contains(finding.exact) || allowed.contains(finding.any)) continue;
    keys.push_back(finding.where);
    cures.insert(finding.cure);
  }
  if (keys.empty()) return absl::OkStatus();
  return Failure(
      pb::FAILURE_REASON_POLICY,
      absl::StrCat("the compose file reaches out of its containers, which hosts refuse: ",
                   absl::StrJoin(keys, "; ")),
      absl::StrCat("take it out, or let an operator say `slipway allow ", absl::StrJoin(cures, " "),
                   "`"));
}

nlohmann::json ComposeFindings::ToJson(
    const std::function<std::string(absl::string_view)>& shown) const {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings_) {
    list.push_back({finding.any, finding.exact, shown(finding.where), shown(finding.cure)});
  }
  return list;
}

absl::StatusOr<ComposeFindings> ComposeFindings::FromJson(const nlohmann::json& document) {
  ComposeFindings findings;
  for (const nlohmann::json& entry : document) {
    const bool whole = entry.is_array() && entry.size() == 4 &&
                       std::all_of(entry.begin(), entry.end(),
                                   [](const nlohmann::json& text) { return text.is_string(); });
    if (!whole) return absl::DataLossError("the release's generated state is damaged");
    findings.findings_.push_back({entry[0], entry[1], entry[2], entry[3]});
  }
  return findings;
}

bool IsInside(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const std::filesystem::path normal = path.lexically_normal();
  const auto [end, rest] =
      std::mismatch(folder.begin(), folder.end(), normal.begin(), normal.end());
  return end == folder.end();
}

bool IsRemote(absl::string_view target) {
  return absl::StrContains(target, "://") || absl::StartsWith(target, "git@") ||
         absl::StartsWith(target, "oci:") || absl::StartsWith(target, "github.com/") ||
         absl::EndsWith(target, ".git") || absl::StrContains(target, ".git#");
}

}  // namespace slipway::executor
