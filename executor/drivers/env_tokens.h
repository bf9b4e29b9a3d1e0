// How values of the env file get through compose byte for byte.
//
// Compose 1 and compose 2 read env files by different rules: quotes, `#`, `$` and line ends come
// out changed by one or the other. So compose never sees a value that has anything but plain
// characters: while it normalises the file, an opaque token stands in for each such value, and
// Restore() puts the value where the token came out. Interpolation, defaults and merging stay
// compose's own work, and no secret of that kind is in its memory.
//
// Consequence: a value with special characters cannot be part of a key that compose itself must
// understand, such as a port or a bind's source.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include <nlohmann/json.hpp>

#include "common/env_file.h"

namespace slipway::executor {

class EnvTokens {
 public:
  explicit EnvTokens(const Environment& environment);

  // The env file for compose: one NAME=value a line, of [A-Za-z0-9_./:@%+,=-] only.
  const std::string& CleanFile() const { return clean_file_; }

  // Puts the values in place of the tokens in every string of the document. `$` is doubled, for the
  // document is read by compose once more.
  void Restore(nlohmann::json& document) const;
  // The variable that each token stands for.
  const std::map<std::string, std::string>& Names() const { return names_; }

 private:
  void RestoreText(std::string& text) const;

  std::string clean_file_;
  // By token.
  std::map<std::string, std::string> values_;
  std::map<std::string, std::string> names_;
};

}  // namespace slipway::executor
