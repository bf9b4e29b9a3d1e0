#include "common/logging.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace slipway {
namespace {

std::string Logged(absl::string_view message, LogFields fields) {
  ::testing::internal::CaptureStderr();
  LogWarning(message, fields);
  LogInfo("flushed");
  const std::string text = ::testing::internal::GetCapturedStderr();
  // Without the line that made it flush.
  return text.substr(0, text.rfind('\n', text.size() - 2) + 1);
}

TEST(Logging, HasTimeLevelMessageAndFieldsInOneLine) {
  const std::string line = Logged("step", {{"app", "gifty"}, {"took", "1.2s"}});
  EXPECT_EQ(line.substr(23), "Z W step app=gifty took=1.2s\n") << line;
}

TEST(Logging, LetsNoInputForgeALine) {
  const std::string hostile = "x\n2026-11-22T00:00:00.000Z I forged ok=yes\r\x1b[31m";
  const std::string line = Logged(hostile, {{"app", hostile}, {"nul", std::string("a\0b", 3)}});
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  EXPECT_EQ(line.find('\r'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_EQ(line.find('\0'), std::string::npos);
  EXPECT_NE(line.find("app=\"x\\n2026"), std::string::npos) << line;
}

TEST(Logging, LetsNoValueForgeAField) {
  EXPECT_NE(Logged("m", {{"app", "a outcome=ok"}}).find("app=\"a outcome=ok\""), std::string::npos);
  EXPECT_NE(Logged("m", {{"app", "a\" outcome=\"ok"}}).find("app=\"a\\\" outcome=\\\"ok\""),
            std::string::npos);
  EXPECT_NE(Logged("m", {{"app", ""}}).find("app=\"\""), std::string::npos);
}

TEST(Logging, DoesNotReadItsMessageAsAFormat) {
  EXPECT_NE(Logged("{} %s {0}", {{"x", "{}"}}).find("{} %s {0} x={}"), std::string::npos);
}

}  // namespace
}  // namespace slipway
