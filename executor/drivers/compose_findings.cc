#include "executor/drivers/compose_findings.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "executor/failure.h"

namespace slipway::executor {

void ComposeFindings::Add(const std::string& service, const std::string& key,
                          const std::string& value, const std::string& where) {
  const std::string any = absl::StrCat(service, ":", key);
  const std::string exact = value.empty() ? any : absl::StrCat(any, ":", value);
  if (allowances_.contains(exact) || allowances_.contains(any)) return;
  keys_.push_back(where);
  cures_.insert(absl::StrCat("--add ", exact));
}

absl::Status ComposeFindings::Verdict() const {
  if (keys_.empty()) return absl::OkStatus();
  return Failure(
      pb::FAILURE_REASON_POLICY,
      absl::StrCat("the compose file reaches out of its containers, which hosts refuse: ",
                   absl::StrJoin(keys_, "; ")),
      absl::StrCat("take it out, or let an operator say `slipway allow ",
                   absl::StrJoin(cures_, " "), "`"));
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
