#include "executor/steps/line_diff.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <gtest/gtest.h>

namespace slipway::executor {
namespace {

TEST(LineDiff, OfEqualTextsIsEmpty) {
  EXPECT_EQ(LineDiff("", ""), "");
  EXPECT_EQ(LineDiff("a\nb\n", "a\nb\n"), "");
}

TEST(LineDiff, MarksWhatWentAndWhatCame) {
  EXPECT_EQ(LineDiff("upstream x {\n  server 127.0.0.1:8000;\n}\n",
                     "upstream x {\n  server 127.0.0.1:8001;\n}\n"),
            " upstream x {\n-  server 127.0.0.1:8000;\n+  server 127.0.0.1:8001;\n }\n");
}

TEST(LineDiff, OfAFileThatComesOrGoesIsAllOfIt) {
  EXPECT_EQ(LineDiff("", "a\nb\n"), "+a\n+b\n");
  EXPECT_EQ(LineDiff("a\nb\n", ""), "-a\n-b\n");
  EXPECT_EQ(LineDiff("a", "b"), "-a\n+b\n");
}

// Taking the lines of one side out of the diff gives that side back, whatever the texts are.
TEST(LineDiff, HoldsBothTexts) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string sides[2];
    for (std::string& side : sides) {
      for (size_t lines = random() % 9; lines > 0; --lines) {
        absl::StrAppend(&side, std::string(1, static_cast<char>('a' + random() % 3)), "\n");
      }
    }
    std::string before;
    std::string after;
    const std::string diff = LineDiff(sides[0], sides[1]);
    if (sides[0] == sides[1]) {
      EXPECT_EQ(diff, "");
      continue;
    }
    for (const absl::string_view line : absl::StrSplit(diff, '\n', absl::SkipEmpty())) {
      if (line[0] != '+') absl::StrAppend(&before, line.substr(1), "\n");
      if (line[0] != '-') absl::StrAppend(&after, line.substr(1), "\n");
    }
    ASSERT_EQ(before, sides[0]);
    ASSERT_EQ(after, sides[1]);
  }
}

}  // namespace
}  // namespace slipway::executor
