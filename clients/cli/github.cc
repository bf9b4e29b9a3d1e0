#include "clients/cli/github.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/output.h"
#include "clients/cli/progress.h"
#include "common/durations.h"
#include "common/enum_word.h"
#include "common/random.h"

namespace slipway::cli {
namespace {

// One cell of a table.
std::string Cell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"|", "\\|"},
                                    {"`", "\\`"},
                                    {"*", "\\*"},
                                    {"_", "\\_"},
                                    {"[", "\\["},
                                    {"]", "\\]"},
                                    {"\r", ""},
                                    {"\n", " "}});
}

// A block of plain text, whatever is in it: its fence is longer than any in the text.
std::string Block(const std::vector<std::string>& lines) {
  size_t longest = 2;
  for (const std::string& line : lines) {
    size_t run = 0;
    for (const char c : line) longest = std::max(longest, c == '`' ? ++run : (run = 0));
  }
  const std::string fence(longest + 1, '`');
  return absl::StrCat(fence, "\n", absl::StrJoin(lines, "\n"), "\n", fence, "\n");
}

void Append(const char* variable, const std::string& text) {
  const char* path = std::getenv(variable);
  if (path == nullptr || *path == '\0') return;
  std::ofstream(path, std::ios::app) << text;
}

}  // namespace

std::string ErrorAnnotation(absl::string_view title, absl::string_view text) {
  const std::string name = absl::StrReplaceAll(
      title, {{"%", "%25"}, {"\r", "%0D"}, {"\n", "%0A"}, {":", "%3A"}, {",", "%2C"}});
  return absl::StrCat("::error title=", name, "::",
                      absl::StrReplaceAll(text, {{"%", "%25"}, {"\r", "%0D"}, {"\n", "%0A"}}));
}

std::string JobSummary(const pb::Deployment& deployment) {
  const auto took = FromProto(deployment.end_time()) - FromProto(deployment.create_time());
  std::string page = absl::StrCat(
      "### Deployment ", Cell(ShortName(deployment.name())), ": ", StateWord(deployment.state()),
      "\n\n", Cell(deployment.message()), "\n\n", "commit ",
      Cell(deployment.commit().empty() ? "-" : deployment.commit()), ", release ",
      Cell(ShortName(deployment.release())), ", after ", FormatDuration(took),
      "\n\n| host | step | outcome | took | seen |\n", "|---|---|---|---|---|\n");
  std::string details;
  for (const pb::HostRollout& rollout : deployment.rollouts()) {
    for (const pb::Step& step : rollout.steps()) {
      absl::StrAppend(&page, "| ", Cell(rollout.host()), " | ", Cell(step.name()), " | ",
                      EnumWord(step.state()), " | ", FormatDuration(FromProto(step.duration())),
                      " | ", Cell(step.summary()), " |\n");
      const std::vector<std::string> seen = Explain(step);
      if (step.state() != pb::STEP_STATE_FAILED || seen.empty()) continue;
      absl::StrAppend(&details, "\n<details open><summary>What ", Cell(step.name()), " on ",
                      Cell(rollout.host()), " saw</summary>\n\n", Block(seen), "\n</details>\n");
    }
  }
  return absl::StrCat(page, details, "\n");
}

std::string StepOutputs(const pb::Deployment& deployment) {
  const std::pair<const char*, std::string> outputs[] = {
      {"deployment", ShortName(deployment.name())},
      {"state", EnumWord(deployment.state())},
      {"release", ShortName(deployment.release())},
      {"commit", deployment.commit()},
      {"message", deployment.message()}};
  std::string text;
  for (const auto& [name, value] : outputs) {
    // Nobody can write a line that ends the value early.
    const std::string end = RandomHex(16);
    absl::StrAppend(&text, name, "<<", end, "\n", value, "\n", end, "\n");
  }
  return text;
}

void TellJob(const pb::Deployment& deployment) {
  Append("GITHUB_STEP_SUMMARY", JobSummary(deployment));
  Append("GITHUB_OUTPUT", StepOutputs(deployment));
}

}  // namespace slipway::cli
