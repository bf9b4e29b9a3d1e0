#include "common/status.h"

#include <cerrno>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace slipway {
namespace {
constexpr absl::string_view kDetailUrl = "type.googleapis.com/slipway.v1.ErrorDetail";
}  // namespace

absl::Status Error(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                   absl::string_view cure, absl::string_view subject) {
  absl::Status status(code, message);
  pb::ErrorDetail detail;
  detail.set_reason(std::string(reason));
  detail.set_cure(std::string(cure));
  detail.set_subject(std::string(subject));
  SetDetail(status, detail);
  return status;
}

pb::ErrorDetail DetailOf(const absl::Status& status) {
  pb::ErrorDetail detail;
  if (auto payload = status.GetPayload(kDetailUrl)) detail.ParseFromString(std::string(*payload));
  return detail;
}

void SetDetail(absl::Status& status, const pb::ErrorDetail& detail) {
  status.SetPayload(kDetailUrl, absl::Cord(detail.SerializeAsString()));
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

std::string MessageWithCure(const absl::Status& status) {
  const std::string cure = DetailOf(status).cure();
  return absl::StrCat(std::string(status.message()), cure.empty() ? "" : "; ", cure);
}

absl::Status ErrnoError(absl::string_view what) { return ErrnoError(errno, what); }

absl::Status ErrnoError(int error_number, absl::string_view what) {
  return absl::ErrnoToStatus(error_number, what);
}

}  // namespace slipway
