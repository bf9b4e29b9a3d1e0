// Keeps values of the env file out of what people read: answers of a plan, refusals, errors of compose
// and Docker. Who may plan may choose the compose file, so any of these texts may have a value in it.
#pragma once

#include <string>
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

  // The text with `${NAME}` in place of each token, of each value of four characters or more, also
  // escaped, normalised as a path or cut off, and of longer parts of values. Letters match in either
  // case.
  std::string Hide(absl::string_view text) const;
  // Its message and detail.
  absl::Status Hide(const absl::Status& status) const;

 private:
  struct Needle {
    // In small letters.
    std::string text;
    std::string shown;
  };
  void Add(absl::string_view value, const std::string& name, size_t least);

  std::string known_;
  // The longest first.
  std::vector<Needle> needles_;
};

}  // namespace slipway::executor
