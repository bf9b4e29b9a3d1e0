#include "common/grpc_status.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/rpc/error_details.pb.h"

#include "common/status.h"

#include "slipway/v1/status_details.pb.h"

namespace slipway {
namespace {

namespace rpc = google::rpc;

constexpr char kDomain[] = "slipway";
// On the wire, where a byte that is not printable ASCII takes three.
constexpr size_t kLongestMessage = 2048;
// Of a text that stands in the message as well.
constexpr size_t kLongestDescription = 300;

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The longest beginning of whole characters that takes at most `limit` bytes when it is percent-encoded.
std::string CutOff(absl::string_view text, size_t limit) {
  constexpr absl::string_view kEllipsis = " ...";
  size_t encoded = 0;
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const auto byte = static_cast<unsigned char>(text[end]);
    encoded += absl::ascii_isprint(byte) && byte != '%' ? 1 : 3;
    if (encoded > limit - kEllipsis.size()) break;
  }
  if (end == text.size()) return std::string(text);
  while (end > 0 && IsContinuation(text[end])) --end;
  return absl::StrCat(text.substr(0, end), kEllipsis);
}

// `slots.blue`, `hosts[0].name`: a path at the beginning of a message, before a colon.
bool IsFieldPath(absl::string_view text) {
  return !text.empty() && absl::ascii_islower(static_cast<unsigned char>(text.front())) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                  absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                  absl::string_view("_.[]").find(c) != absl::string_view::npos;
         });
}

// One for each line `PATH: what is wrong`.
rpc::BadRequest BadRequestOf(absl::string_view message) {
  rpc::BadRequest request;
  for (const absl::string_view line : absl::StrSplit(message, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (parts.second.empty() || !IsFieldPath(parts.first)) continue;
    rpc::BadRequest::FieldViolation& violation = *request.add_field_violations();
    violation.set_field(std::string(parts.first));
    violation.set_description(CutOff(parts.second, kLongestDescription));
    // The rest would be cut off as well.
    if (request.ByteSizeLong() > kLongestMessage / 2) break;
  }
  return request;
}

rpc::ErrorInfo ErrorInfoOf(const pb::ErrorDetail& detail) {
  rpc::ErrorInfo info;
  info.set_reason(detail.reason());
  info.set_domain(kDomain);
  if (!detail.subject().empty()) (*info.mutable_metadata())["subject"] = detail.subject();
  if (!detail.cure().empty()) {
    (*info.mutable_metadata())["cure"] = CutOff(detail.cure(), kLongestDescription);
  }
  return info;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  pb::ErrorDetail detail = DetailOf(status);
  detail.set_cure(CutOff(detail.cure(), kLongestMessage / 2));
  pb::StatusDetails details;
  details.set_code(status.raw_code());
  details.set_message(CutOff(status.message(), kLongestMessage));
  if (!detail.reason().empty()) {
    details.add_details()->PackFrom(ErrorInfoOf(detail));
    details.add_details()->PackFrom(detail);
  }
  if (absl::IsInvalidArgument(status)) {
    const rpc::BadRequest request = BadRequestOf(status.message());
    if (request.field_violations_size() > 0) details.add_details()->PackFrom(request);
  }
  if (absl::IsFailedPrecondition(status) && !detail.reason().empty()) {
    rpc::PreconditionFailure failure;
    rpc::PreconditionFailure::Violation& violation = *failure.add_violations();
    violation.set_type(detail.reason());
    violation.set_subject(detail.subject());
    violation.set_description(CutOff(status.message(), kLongestDescription));
    details.add_details()->PackFrom(failure);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), details.message(),
                      details.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()),
                         status.error_message());
  pb::StatusDetails details;
  if (!details.ParseFromString(status.error_details())) return converted;
  for (const google::protobuf::Any& one : details.details()) {
    pb::ErrorDetail detail;
    if (one.UnpackTo(&detail)) SetDetail(converted, detail);
  }
  return converted;
}

}  // namespace slipway
