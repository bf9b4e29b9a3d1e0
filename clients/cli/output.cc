#include "clients/cli/output.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include <google/protobuf/util/json_util.h>

#include "common/durations.h"
#include "common/enum_word.h"

namespace slipway::cli {
namespace {

std::string ToJson(const google::protobuf::Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.preserve_proto_field_names = true;
  std::string text;
  static_cast<void>(google::protobuf::util::MessageToJsonString(message, &text, options));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Columns as a terminal shows them: UTF-8's continuation bytes take none.
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Output Output::Detect() {
  Output output;
  output.terminal = isatty(STDOUT_FILENO) == 1;
  const char* no_colour = std::getenv("NO_COLOR");
  output.colour = output.terminal && (no_colour == nullptr || *no_colour == '\0');
  output.github = std::getenv("GITHUB_ACTIONS") != nullptr;
  return output;
}

std::string Output::Paint(Tone tone, absl::string_view text) const {
  static const char* const codes[] = {"", "\033[32m", "\033[31m", "\033[33m", "\033[2m"};
  if (!colour || tone == Tone::kPlain) return std::string(text);
  return absl::StrCat(codes[static_cast<int>(tone)], text, "\033[0m");
}

void Output::Line(absl::string_view text) const {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void Output::Error(absl::string_view text) const {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fputc('\n', stderr);
}

void Output::Json(const google::protobuf::Message& message) const { Line(ToJson(message, true)); }
void Output::JsonLine(const google::protobuf::Message& message) const {
  Line(ToJson(message, false));
}

void Output::Table(const std::vector<std::vector<std::string>>& rows) const {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      absl::StrAppend(&line, rows[r][i]);
      if (i + 1 < rows[r].size()) line.append(widths[i] - Width(rows[r][i]) + 2, ' ');
    }
    Line(r == 0 ? Paint(Tone::kQuiet, line) : line);
  }
}

std::string Ago(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "-";
  const auto age = std::chrono::system_clock::now() - FromProto(time);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (seconds < 1) return "now";
  if (seconds < 60) return absl::StrCat(seconds, "s ago");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m ago");
  if (seconds < 86400) return absl::StrCat(seconds / 3600, "h ago");
  return absl::StrCat(seconds / 86400, "d ago");
}

std::string UtcText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string ShortName(absl::string_view resource_name) {
  const size_t slash = resource_name.rfind('/');
  return std::string(slash == absl::string_view::npos ? resource_name
                                                      : resource_name.substr(slash + 1));
}

std::string StateWord(pb::DeploymentState state) {
  return absl::StrReplaceAll(EnumWord(state), {{"_", " "}});
}

Tone StateTone(pb::DeploymentState state) {
  switch (state) {
    case pb::DEPLOYMENT_STATE_SUCCEEDED:
      return Tone::kGood;
    case pb::DEPLOYMENT_STATE_FAILED:
    case pb::DEPLOYMENT_STATE_NEEDS_ATTENTION:
      return Tone::kBad;
    case pb::DEPLOYMENT_STATE_ROLLED_BACK:
    case pb::DEPLOYMENT_STATE_CANCELLED:
    case pb::DEPLOYMENT_STATE_PAUSED:
    case pb::DEPLOYMENT_STATE_PARTIAL:
    case pb::DEPLOYMENT_STATE_SUPERSEDED:
      return Tone::kWarning;
    default:
      return Tone::kPlain;
  }
}

}  // namespace slipway::cli
