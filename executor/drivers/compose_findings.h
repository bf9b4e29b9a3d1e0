// What compose_policy.h found, and what an operator has allowed of it.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace slipway::executor {

class ComposeFindings {
 public:
  // As compose_policy.h writes them.
  explicit ComposeFindings(const std::vector<std::string>& allowances)
      : allowances_(allowances.begin(), allowances.end()) {}

  // Nothing when SERVICE:KEY:VALUE, or SERVICE:KEY with any value, is allowed. `where` is the key as the file has it, for people.
  void Add(const std::string& service, const std::string& key, const std::string& value,
           const std::string& where);
  // FAILURE_REASON_POLICY that names everything, and the command that would allow it.
  absl::Status Verdict() const;

 private:
  const std::set<std::string> allowances_;
  std::vector<std::string> keys_;
  std::set<std::string> cures_;
};

// By their texts; `path` may hold `..`.
bool IsInside(const std::filesystem::path& path, const std::filesystem::path& folder);
// Names something that is fetched from another machine: a URL, a Git repository, an OCI artifact.
bool IsRemote(absl::string_view target);

}  // namespace slipway::executor
