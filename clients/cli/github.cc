#include "clients/cli/github.h"

#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "clients/cli/output.h"
#include "common/enum_word.h"
#include "common/random.h"

namespace slipway::cli {
namespace {

using Outputs = std::vector<std::pair<const char*, std::string>>;

std::string Format(const Outputs& outputs) {
  std::string text;
  for (const auto& [name, value] : outputs) {
    // Nobody can write a line that ends the value early.
    const std::string end = RandomHex(16);
    absl::StrAppend(&text, name, "<<", end, "\n", value, "\n", end, "\n");
  }
  return text;
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void Append(const char* variable, const std::string& text) {
  const std::string path = FromEnvironment(variable);
  if (!path.empty()) std::ofstream(path, std::ios::app) << text;
}

}  // namespace

std::string ErrorAnnotation(absl::string_view title, absl::string_view text) {
  const std::string name = absl::StrReplaceAll(
      title, {{"%", "%25"}, {"\r", "%0D"}, {"\n", "%0A"}, {":", "%3A"}, {",", "%2C"}});
  return absl::StrCat("::error title=", name, "::",
                      absl::StrReplaceAll(text, {{"%", "%25"}, {"\r", "%0D"}, {"\n", "%0A"}}));
}

std::string StepOutputs(const pb::Deployment& deployment) {
  return Format({{"deployment", ShortName(deployment.name())},
                 {"state", EnumWord(deployment.state())},
                 {"release", ShortName(deployment.release())},
                 {"commit", deployment.commit()},
                 {"message", deployment.message()}});
}

void TellJobOfBegin(const pb::Deployment& deployment) {
  Append("GITHUB_OUTPUT", Format({{"deployment", ShortName(deployment.name())}}));
}

void TellJobOfEnd(const JobReport& report) {
  Append("GITHUB_STEP_SUMMARY", JobSummary(report));
  Append("GITHUB_OUTPUT", StepOutputs(report.deployment));
}

void TellJobOfNothingToDo(const pb::Release& release) {
  const std::string name = ShortName(release.name());
  Append("GITHUB_STEP_SUMMARY",
         absl::StrCat("### Nothing to do\n\nRelease ", name, " already serves on every host.\n\n"));
  Append("GITHUB_OUTPUT",
         Format({{"state", "up_to_date"}, {"release", name}, {"commit", release.commit()}}));
}

void TellJobOfError(absl::string_view message, absl::string_view cure) {
  Append("GITHUB_STEP_SUMMARY", ErrorSummary(message, cure));
}

std::string RepositoryUrl() {
  const std::string server = FromEnvironment("GITHUB_SERVER_URL");
  const std::string repository = FromEnvironment("GITHUB_REPOSITORY");
  return server.empty() || repository.empty() ? "" : absl::StrCat(server, "/", repository);
}

}  // namespace slipway::cli
