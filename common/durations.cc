#include "common/durations.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include <google/protobuf/util/time_util.h>

#include "common/status.h"

namespace slipway {

using google::protobuf::util::TimeUtil;

// A hundred years: added to any clock's time it still fits in 64 bits of nanoseconds.
constexpr std::chrono::seconds kLongest = std::chrono::hours(24 * 36'500);

std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration) {
  if (duration.seconds() >= kLongest.count()) return kLongest;
  if (duration.seconds() <= -kLongest.count()) return -kLongest;
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}
google::protobuf::Duration ToProto(std::chrono::nanoseconds duration) {
  return TimeUtil::NanosecondsToDuration(duration.count());
}
std::chrono::system_clock::time_point FromProto(const google::protobuf::Timestamp& time) {
  return std::chrono::system_clock::time_point(
      std::chrono::nanoseconds(TimeUtil::TimestampToNanoseconds(time)));
}
google::protobuf::Timestamp ToProto(std::chrono::system_clock::time_point time) {
  return TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(absl::string_view text) {
  absl::Duration parsed;
  // Abseil knows no days.
  int days = 0;
  absl::string_view number = text;
  if (absl::ConsumeSuffix(&number, "d") && absl::SimpleAtoi(number, &days) && days >= 0 &&
      days <= 366) {
    return std::chrono::hours(24) * days;
  }
  if (!absl::ParseDuration(text, &parsed) || parsed < absl::ZeroDuration() ||
      parsed > absl::Hours(24 * 365)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a duration such as 250ms, 10s, 5m, 1h or 90d"));
  }
  return absl::ToChronoNanoseconds(parsed);
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds == 0) return "0s";
  if (seconds < 0.9995) return absl::StrFormat("%.0fms", seconds * 1000);
  if (seconds < 59.95) return absl::StrFormat("%.1fs", seconds);
  const auto whole = static_cast<long>(seconds < 60 ? 60 : seconds);
  if (whole < 3600) return absl::StrFormat("%dm%ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh%dm", whole / 3600, whole / 60 % 60);
}

}  // namespace slipway
