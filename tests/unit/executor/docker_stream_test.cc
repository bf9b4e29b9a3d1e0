#include "executor/drivers/docker_stream.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;

std::string Frame(char stream, absl::string_view payload) {
  std::string header(8, '\0');
  header[0] = stream;
  header[7] = static_cast<char>(payload.size());
  return absl::StrCat(header, payload);
}

TEST(DockerStream, TakesFramesApartHoweverTheyAreCut) {
  const std::string bytes =
      absl::StrCat(Frame(1, "one\ntw"), Frame(2, "error\r\n"), Frame(1, "o\n"), Frame(1, "last"));
  for (size_t size = 1; size <= bytes.size(); ++size) {
    std::string text;
    DockerFrames frames(false, [&text](absl::string_view piece) {
      absl::StrAppend(&text, piece);
      return true;
    });
    for (size_t i = 0; i < bytes.size(); i += size)
      frames.Take(absl::string_view(bytes).substr(i, size));
    EXPECT_EQ(text, "one\ntwerror\r\no\nlast");
  }
}

TEST(DockerStream, CutsLinesAndStopsWhenTold) {
  std::vector<std::string> lines;
  LineCutter cutter([&lines](absl::string_view line) {
    lines.emplace_back(line);
    return lines.size() < 3;
  });
  EXPECT_TRUE(cutter.Take("a\nb\r"));
  EXPECT_TRUE(cutter.Take("\n"));
  EXPECT_FALSE(cutter.Take("c\nd\n"));
  EXPECT_THAT(lines, ElementsAre("a", "b", "c"));
}

TEST(DockerStream, HandsOutAnEndlessLineInPieces) {
  size_t longest = 0;
  LineCutter cutter([&longest](absl::string_view line) {
    longest = std::max(longest, line.size());
    return true;
  });
  for (int i = 0; i < 100; ++i) cutter.Take(std::string(10'000, 'x'));
  EXPECT_GT(longest, 0u);
  EXPECT_LT(longest, 80'000u);
}

}  // namespace
}  // namespace slipway::executor
