#include "common/durations.h"

#include <limits>
#include <utility>

#include <gtest/gtest.h>

namespace slipway {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(Durations, AreReadAsPeopleWriteThem) {
  const std::pair<const char*, nanoseconds> table[] = {
      {"250ms", milliseconds(250)},      {"10s", seconds(10)}, {"5m", minutes(5)},
      {"1h30m", hours(1) + minutes(30)}, {"0s", seconds(0)},   {"1.5s", milliseconds(1500)},
  };
  for (const auto& [text, expected] : table) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, expected) << text;
  }
}

TEST(Durations, RefuseWhatIsNone) {
  for (const char* text :
       {"", "5", "m", "-1s", "5 minutes", "inf", "10s!", "1dd", "-1d", "1000d", "100000h"}) {
    EXPECT_EQ(ParseDuration(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Durations, AreWrittenShort) {
  EXPECT_EQ(FormatDuration(seconds(0)), "0s");
  EXPECT_EQ(FormatDuration(milliseconds(37)), "37ms");
  EXPECT_EQ(FormatDuration(milliseconds(1200)), "1.2s");
  EXPECT_EQ(FormatDuration(seconds(125)), "2m5s");
  EXPECT_EQ(FormatDuration(minutes(90)), "1h30m");
}

TEST(Durations, CarryIntoTheNextUnitWhenTheyAreRounded) {
  EXPECT_EQ(FormatDuration(milliseconds(59'960)), "1m0s");
}

TEST(Durations, SurviveTheWayThroughProtobuf) {
  for (const nanoseconds duration : {nanoseconds(1), nanoseconds(-1), nanoseconds(hours(9)),
                                     nanoseconds(1'999'999'999), nanoseconds(0)}) {
    EXPECT_EQ(FromProto(ToProto(duration)), duration) << duration.count();
  }
}

// A client may send anything. One that wrapped around would pass every check for "too long".
TEST(Durations, OfHostileLengthStayLong) {
  google::protobuf::Duration hostile;
  for (const int64_t length :
       {int64_t{18'446'744'073}, int64_t{315'576'000'000}, std::numeric_limits<int64_t>::max()}) {
    hostile.set_seconds(length);
    EXPECT_GE(FromProto(hostile), hours(24 * 365)) << length;
    hostile.set_seconds(-length);
    EXPECT_LE(FromProto(hostile), -hours(24 * 365)) << length;
  }
}

// Deadlines are made by adding one to now.
TEST(Durations, OfHostileLengthCanBeAddedToNow) {
  google::protobuf::Duration hostile;
  hostile.set_seconds(std::numeric_limits<int64_t>::max());
  const auto now = std::chrono::steady_clock::now();
  EXPECT_LT((now + hours(24 * 365)).time_since_epoch(),
            (now + FromProto(hostile)).time_since_epoch());
}

}  // namespace
}  // namespace slipway
