// What compose_policy.h found, and what an operator has allowed of it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

namespace slipway::executor {

class ComposeFindings {
 public:
  // `where` is the key as the file has it, for people.
  void Add(const std::string& service, const std::string& key, const std::string& value,
           const std::string& where);
  // FAILURE_REASON_POLICY that names everything that is not allowed, and the command that would allow
  // it. An allowance is SERVICE:KEY:VALUE, or SERVICE:KEY for any value.
  absl::Status Verdict(const std::vector<std::string>& allowances) const;

  // For a later Verdict(). What people read goes through `shown` first.
  nlohmann::json ToJson(const std::function<std::string(absl::string_view)>& shown) const;
  static absl::StatusOr<ComposeFindings> FromJson(const nlohmann::json& document);

 private:
  struct Finding {
    std::string any;
    std::string exact;
    std::string where;
    std::string cure;
  };
  std::vector<Finding> findings_;
};

// By their texts; `path` may hold `..`.
bool IsInside(const std::filesystem::path& path, const std::filesystem::path& folder);
// Names something that is fetched from another machine: a URL, a Git repository, an OCI artifact.
bool IsRemote(absl::string_view target);

}  // namespace slipway::executor
