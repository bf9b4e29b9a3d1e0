#include "common/env_file.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/names.h"
#include "common/status.h"

namespace slipway {
namespace {

// One assignment and where its bytes are: [begin, end) without the line's end.
struct Assignment {
  std::string name;
  std::string value;
  size_t begin = 0;
  size_t end = 0;
};

class EnvReader {
 public:
  explicit EnvReader(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Assignment>> ReadAll() {
    std::vector<Assignment> assignments;
    if (const size_t nul = text_.find('\0'); nul != absl::string_view::npos) {
      return Wrong(nul, "a NUL byte, which no environment holds");
    }
    while (position_ < text_.size()) {
      SkipBlanks();
      if (AtLineEnd()) {
        ++position_;
        continue;
      }
      if (text_[position_] == '#') {
        SkipLine();
        continue;
      }
      Assignment assignment;
      SLIPWAY_RETURN_IF_ERROR(ReadAssignment(assignment));
      assignments.push_back(std::move(assignment));
    }
    return assignments;
  }

 private:
  bool AtLineEnd() const { return position_ >= text_.size() || text_[position_] == '\n'; }
  void SkipBlanks() {
    while (position_ < text_.size() &&
           (text_[position_] == ' ' || text_[position_] == '\t' || text_[position_] == '\r')) {
      ++position_;
    }
  }
  void SkipLine() {
    while (!AtLineEnd()) ++position_;
  }

  absl::Status Wrong(size_t at, absl::string_view what) const {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at && i < text_.size(); ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n';
    }
    return Error(absl::StatusCode::kInvalidArgument, "INVALID_ENV_FILE",
                 absl::StrCat("env file:", line, ":", column, ": ", what));
  }

  absl::Status ReadAssignment(Assignment& out) {
    out.begin = position_;
    if (absl::StartsWith(text_.substr(position_), "export ")) {
      position_ += 7;
      SkipBlanks();
    }
    const size_t start = position_;
    while (!AtLineEnd() && text_[position_] != '=') ++position_;
    if (AtLineEnd()) return Wrong(start, "expected NAME=value");
    out.name =
        std::string(absl::StripTrailingAsciiWhitespace(text_.substr(start, position_ - start)));
    if (!IsVariableName(out.name)) {
      return Wrong(start, "a name has letters, digits and `_`, and does not start with a digit");
    }
    ++position_;
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t')) {
      ++position_;
    }
    if (position_ < text_.size() && (text_[position_] == '"' || text_[position_] == '\'')) {
      SLIPWAY_RETURN_IF_ERROR(ReadQuoted(out.value));
    } else {
      ReadPlain(out.value);
    }
    out.end = position_;
    return absl::OkStatus();
  }

  void ReadPlain(std::string& value) {
    const size_t start = position_;
    SkipLine();
    absl::string_view line = text_.substr(start, position_ - start);
    for (size_t i = 1; i < line.size(); ++i) {
      if (line[i] == '#' && (line[i - 1] == ' ' || line[i - 1] == '\t')) {
        line = line.substr(0, i);
        break;
      }
    }
    if (absl::StartsWith(line, "#")) line = "";
    value = std::string(absl::StripAsciiWhitespace(line));
  }

  absl::Status ReadQuoted(std::string& value) {
    const size_t start = position_;
    const char quote = text_[position_++];
    while (position_ < text_.size() && text_[position_] != quote) {
      if (quote == '"' && text_[position_] == '\\' && position_ + 1 < text_.size()) {
        AppendEscape(value, text_[++position_]);
        ++position_;
      } else {
        value += text_[position_++];
      }
    }
    if (position_ >= text_.size()) return Wrong(start, "this quote is never closed");
    ++position_;
    const size_t after = position_;
    SkipBlanks();
    if (!AtLineEnd() && text_[position_] == '#') SkipLine();
    if (!AtLineEnd()) return Wrong(after, "text after the closing quote");
    return absl::OkStatus();
  }

  static void AppendEscape(std::string& value, char escaped) {
    switch (escaped) {
      case 'n':
        value += '\n';
        break;
      case 'r':
        value += '\r';
        break;
      case 't':
        value += '\t';
        break;
      case '"':
      case '\\':
      case '$':
        value += escaped;
        break;
      default:
        value += '\\';
        value += escaped;
    }
  }

  absl::string_view text_;
  size_t position_ = 0;
};

// In double quotes, so that every value but one with NUL can be written.
std::string Quote(absl::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\' || c == '$') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

absl::StatusOr<Environment> ParseEnvFile(absl::string_view text) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<Assignment> assignments, EnvReader(text).ReadAll());
  Environment environment;
  for (const Assignment& assignment : assignments) {
    environment[assignment.name] = assignment.value;
  }
  return environment;
}

absl::StatusOr<std::string> SetInEnvFile(absl::string_view text, const Environment& variables) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<Assignment> assignments, EnvReader(text).ReadAll());
  for (const auto& [name, value] : variables) {
    if (!IsVariableName(name) || value.find('\0') != std::string::npos) {
      return Error(absl::StatusCode::kInvalidArgument, "INVALID_ENV_FILE",
                   absl::StrCat("'", name, "' cannot be a variable's name, or its value has NUL"));
    }
  }
  std::string result;
  size_t copied = 0;
  Environment to_append = variables;
  for (const Assignment& assignment : assignments) {
    const auto found = variables.find(assignment.name);
    if (found == variables.end()) continue;
    absl::StrAppend(&result, text.substr(copied, assignment.begin - copied), found->first, "=",
                    Quote(found->second));
    copied = assignment.end;
    to_append.erase(assignment.name);
  }
  absl::StrAppend(&result, text.substr(copied));
  for (const auto& [name, value] : to_append) {
    if (!result.empty() && result.back() != '\n') result += '\n';
    absl::StrAppend(&result, name, "=", Quote(value), "\n");
  }
  return result;
}

}  // namespace slipway
