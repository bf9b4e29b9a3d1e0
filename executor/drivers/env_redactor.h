// Keeps values of the env file out of what people read: answers of a plan, refusals, errors of compose
// and Docker. Who may plan may choose the compose file, so any of these texts may have a value in it.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "common/env_file.h"
#include "executor/drivers/env_tokens.h"

namespace slipway::executor {

class EnvRedactor {
 public:
  // Values that stand in `known`, the files that the reader sent, are no secret to them and stay:
  // else an image `postgres:16` would lose its name to `POSTGRES_DB=postgres`.
  EnvRedactor(const Environment& environment, const EnvTokens& tokens, absl::string_view known);

  // The text with `${NAME}` in place of each token, of each value of four characters or more, and of
  // each run of eight characters that stands in a value, so that cut-off values are found as well.
  // Values are also known escaped, as paths and as names of state directories. Letters match in
  // either case.
  std::string Hide(absl::string_view text) const;
  // Its message and detail, each cut off after 4 KiB.
  absl::Status Hide(const absl::Status& status) const;

 private:
  struct Needle {
    // In small letters.
    std::string text;
    std::string shown;
  };
  void Add(absl::string_view value, const std::string& shown, absl::string_view known);
  void HideRuns(std::string& text, std::string& lower) const;

  // The longest first.
  std::vector<Needle> needles_;
  // Runs of kRun characters, and what is shown in their place.
  std::unordered_map<std::string, std::string> runs_;
};

}  // namespace slipway::executor
