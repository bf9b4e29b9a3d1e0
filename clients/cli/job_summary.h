// The page that a GitHub Actions job shows of a deployment, in Markdown.
//
// Texts in it come from builds, applications and commit messages. None of them may break out of its place in the page.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"
#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

// What is known of a deployment that has ended. What could not be learnt is absent, and its part of the page with it.
struct JobReport {
  pb::Deployment deployment;
  // As it is now.
  std::optional<pb::Application> application;
  // Of the release that served before.
  std::string previous_commit;
  // https://github.com/OWNER/NAME, for links to commits.
  std::string repository_url;
};

// How it ended, what runs now, what changed, when each step was and what it saw.
std::string JobSummary(const JobReport& report);

// A command that failed before there was a deployment.
std::string ErrorSummary(absl::string_view message, absl::string_view cure);

}  // namespace slipway::cli
