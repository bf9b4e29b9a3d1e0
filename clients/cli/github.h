// What a GitHub Actions job is told beside its log: annotations, the summary page, the step's outputs.
//
// None of the texts in it may become a command to the runner.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

#include "clients/cli/job_summary.h"
#include "common/protos.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::cli {

// `::error title=TITLE::TEXT` in one line.
std::string ErrorAnnotation(absl::string_view title, absl::string_view text);

// deployment, state, release, commit, message, in the form of the file that GITHUB_OUTPUT names.
std::string StepOutputs(const pb::Deployment& deployment);

// Each of these appends to the files that GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name, where they do.
//
// The output `deployment` as soon as there is one, so that whoever cancels the job knows which to cancel.
void TellJobOfBegin(const pb::Deployment& deployment);
void TellJobOfEnd(const JobReport& report);
// The release serves already; the state is `up_to_date`.
void TellJobOfNothingToDo(const pb::Release& release);
void TellJobOfError(absl::string_view message, absl::string_view cure);

// GITHUB_SERVER_URL/GITHUB_REPOSITORY; empty when either is.
std::string RepositoryUrl();

}  // namespace slipway::cli
