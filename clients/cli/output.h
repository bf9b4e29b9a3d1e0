// What a person or a program reads: plain text with colour where wanted, or JSON.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include <google/protobuf/message.h>

#include "common/protos.h"

#include "slipway/v1/deployments.pb.h"

namespace slipway::cli {

enum class Tone { kPlain, kGood, kBad, kWarning, kQuiet };

struct Output {
  bool json = false;
  // A terminal, and NO_COLOR is not set.
  bool colour = false;
  bool terminal = false;
  // In a GitHub Actions job.
  bool github = false;

  static Output Detect();

  std::string Paint(Tone tone, absl::string_view text) const;
  void Line(absl::string_view text) const;
  void Error(absl::string_view text) const;
  // As one JSON document, field names as in the proto files.
  void Json(const google::protobuf::Message& message) const;
  // As one line of JSON, for streams.
  void JsonLine(const google::protobuf::Message& message) const;
  // Columns as wide as their widest cell.
  void Table(const std::vector<std::vector<std::string>>& rows) const;
};

// 3m ago
std::string Ago(const google::protobuf::Timestamp& time);
// 2026-11-22 14:03 UTC
std::string UtcText(const google::protobuf::Timestamp& time);
// The last part of a resource name.
std::string ShortName(absl::string_view resource_name);
// What people call a deployment's state, and how it is to look.
std::string StateWord(pb::DeploymentState state);
Tone StateTone(pb::DeploymentState state);

}  // namespace slipway::cli
