#include "clients/cli/github.h"

#include <cstdlib>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/clients/failed_deployment.h"

namespace slipway::cli {
namespace {

// As the runner reads them.
std::map<std::string, std::string> Read(const std::string& outputs) {
  std::map<std::string, std::string> values;
  const std::vector<std::string> lines = absl::StrSplit(outputs, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> start = absl::StrSplit(lines[i], "<<");
    if (start.second.empty()) continue;
    std::vector<std::string> value;
    for (++i; i < lines.size() && lines[i] != start.second; ++i) value.push_back(lines[i]);
    values[start.first] = absl::StrJoin(value, "\n");
  }
  return values;
}

TEST(GitHub, AnnotationIsOneLineWhateverIsInIt) {
  EXPECT_EQ(ErrorAnnotation("health on web-1", "503"), "::error title=health on web-1::503");
  EXPECT_EQ(ErrorAnnotation("a,b:c", "100%\r\n::stop-commands::x"),
            "::error title=a%2Cb%3Ac::100%25%0D%0A::stop-commands::x");
}

TEST(GitHub, OutputsComeBackAsTheyWere) {
  pb::Deployment deployment = FailedDeployment();
  deployment.set_message("one\nstate<<EOF\nsucceeded\nEOF\ntwo");
  const auto values = Read(StepOutputs(deployment));
  EXPECT_EQ(values.at("deployment"), "20261124-6f00e3");
  EXPECT_EQ(values.at("state"), "failed");
  EXPECT_EQ(values.at("release"), "6f00e327d501");
  EXPECT_EQ(values.at("commit"), "v2");
  EXPECT_EQ(values.at("message"), deployment.message());
}

class JobFiles : public ::testing::Test {
 protected:
  JobFiles() {
    setenv("GITHUB_STEP_SUMMARY", page_.c_str(), 1);
    setenv("GITHUB_OUTPUT", outputs_.c_str(), 1);
  }
  ~JobFiles() override {
    unsetenv("GITHUB_STEP_SUMMARY");
    unsetenv("GITHUB_OUTPUT");
  }
  std::map<std::string, std::string> Outputs() const { return Read(ReadFile(outputs_).value()); }

  const slipway::testing::TemporaryFolder folder_;
  const std::filesystem::path page_ = folder_.path() / "summary";
  const std::filesystem::path outputs_ = folder_.path() / "outputs";
};

TEST_F(JobFiles, HaveTheDeploymentFromItsBeginAndTheRestAtItsEnd) {
  ASSERT_TRUE(WriteFileAtomically(page_, "before\n").ok());
  TellJobOfBegin(FailedDeployment());
  EXPECT_EQ(Outputs(), (std::map<std::string, std::string>{{"deployment", "20261124-6f00e3"}}));
  JobReport report;
  report.deployment = FailedDeployment();
  TellJobOfEnd(report);
  EXPECT_EQ(ReadFile(page_).value(), absl::StrCat("before\n", JobSummary(report)));
  EXPECT_EQ(Outputs().at("state"), "failed");
  unsetenv("GITHUB_STEP_SUMMARY");
  TellJobOfEnd(report);
  EXPECT_EQ(ReadFile(page_).value(), absl::StrCat("before\n", JobSummary(report)));
}

TEST_F(JobFiles, SayThatNothingWasToDo) {
  pb::Release release;
  release.set_name("applications/gifty/releases/6f00e327d501");
  release.set_commit("v2");
  TellJobOfNothingToDo(release);
  EXPECT_EQ(Outputs(),
            (std::map<std::string, std::string>{
                {"state", "up_to_date"}, {"release", "6f00e327d501"}, {"commit", "v2"}}));
}

}  // namespace
}  // namespace slipway::cli
