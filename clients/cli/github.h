// What a GitHub Actions job is told beside its log: annotations, the summary page, the step's outputs.
//
// Texts in it come from builds, applications and commit messages. None of them may become a command to the runner or break out of
// its place in the page.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

// `::error title=TITLE::TEXT` in one line.
std::string ErrorAnnotation(absl::string_view title, absl::string_view text);

// The page of a deployment that has ended, in Markdown: outcome, what runs now, every step, and what failed steps saw.
std::string JobSummary(const pb::Deployment& deployment);
// deployment, state, release, commit, message, in the form of the file that GITHUB_OUTPUT names.
std::string StepOutputs(const pb::Deployment& deployment);

// Appends both to the files that GITHUB_STEP_SUMMARY and GITHUB_OUTPUT name, where they do.
void TellJob(const pb::Deployment& deployment);

}  // namespace slipway::cli
