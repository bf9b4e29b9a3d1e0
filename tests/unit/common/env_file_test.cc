#include "common/env_file.h"

#include <random>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include "common/status.h"

namespace slipway {
namespace {

std::string ValueOf(absl::string_view text, const std::string& name = "A") {
  const auto parsed = ParseEnvFile(text);
  if (!parsed.ok()) return absl::StrCat("error: ", parsed.status().message());
  return parsed->contains(name) ? parsed->at(name) : "(absent)";
}

TEST(EnvFile, GivesEachSpellingItsExactBytes) {
  const std::pair<std::string, std::string> table[] = {
      {"A=plain", "plain"},
      {"A=", ""},
      {"A=   ", ""},
      {"A=  two words  ", "two words"},
      {"A=x # a comment", "x"},
      {"A=x\t# a comment", "x"},
      {"A=x#no comment", "x#no comment"},
      {"A=#all comment", ""},
      {"A= # all comment", ""},
      {"A=a=b=c", "a=b=c"},
      {"A=$HOME ${X} $$", "$HOME ${X} $$"},
      {"A=\"$HOME\"", "$HOME"},
      {"A='$HOME'", "$HOME"},
      {"A=\\n", "\\n"},
      {"A='\\n\"'", "\\n\""},
      {"A=\"\\n\\r\\t\\\"\\\\\\$\"", "\n\r\t\"\\$"},
      {"A=\"\\x\\ \\'\"", "\\x\\ \\'"},
      {"A='one\ntwo'", "one\ntwo"},
      {"A=\"one\ntwo\n\"", "one\ntwo\n"},
      {"A=\" # no comment \"", " # no comment "},
      {"A='' # a comment", ""},
      {"A=it's", "it's"},
      {"A=say \"x\"", "say \"x\""},
      {"A=x\r\n", "x"},
      {"A=\"x\"\r\n", "x"},
      {"A='x\r\ny'\r\n", "x\r\ny"},
      {"export A=x", "x"},
      {"export \t A=x", "x"},
      {"  A=x", "x"},
      {"A =x", "x"},
      {"# A=y\n\n  \n#\nA=x\n#A=z", "x"},
      {"A=1\nA=2", "2"},
      {"A=\xC3\xA4\xFF\x01", "\xC3\xA4\xFF\x01"},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(ValueOf(text), expected) << text;
}

TEST(EnvFile, OfNothingHasNoVariables) {
  for (const char* text : {"", "\n", "#", "  ", "\n\n# x\n"}) {
    const auto parsed = ParseEnvFile(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_TRUE(parsed->empty()) << text;
  }
}

TEST(EnvFile, HoldsAValueOfAMebibyte) {
  std::string value;
  for (int i = 0; value.size() < 1 << 20; ++i) absl::StrAppend(&value, i, "\n\"$#'\\ ");
  const auto text = SetInEnvFile("", {{"A", value}});
  ASSERT_TRUE(text.ok());
  EXPECT_TRUE(ValueOf(*text) == value);
}

TEST(EnvFile, SaysWhereItIsWrongAndNeverWhatStandsThere) {
  const std::pair<std::string, std::string> table[] = {
      {"A=1\nS3CRET\n", "env file:2:1: "},
      {"A=1\n  S3CRET", "env file:2:3: "},
      {"export S3CRET", "env file:1:8: "},
      {"1S3CRET=x", "env file:1:1: "},
      {"S3 CRET=x", "env file:1:1: "},
      {"=S3CRET", "env file:1:1: "},
      {"B='a\nb'\nA=\"S3CRET", "env file:3:3: "},
      {"A='S3CRET\nS3CRET", "env file:1:3: "},
      {"A=\"S3CRET\\", "env file:1:3: "},
      {"A='S3CRET'S3CRET", "env file:1:11: "},
      {"A=\"x\" S3CRET", "env file:1:6: "},
      {std::string("A=1\nB=S3\0CRET", 13), "env file:2:5: "},
  };
  for (const auto& [text, place] : table) {
    const auto parsed = ParseEnvFile(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(DetailOf(parsed.status()).reason(), "INVALID_ENV_FILE") << text;
    EXPECT_EQ(parsed.status().message().substr(0, place.size()), place) << parsed.status();
    EXPECT_EQ(parsed.status().ToString().find("S3"), std::string::npos) << parsed.status();
    EXPECT_EQ(SetInEnvFile(text, {{"X", "y"}}).status(), parsed.status());
  }
}

TEST(SetInEnvFile, ReplacesALineAndKeepsEveryOtherByte) {
  const std::string before = "# the head\n\n  B = 'x y' # why\n";
  const std::string after = "\n\tC=\"1\n2\"\r\n# the end";
  const auto text = SetInEnvFile(before + "A=old # comment" + after, {{"A", "new"}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, before + "A=\"new\"" + after);
}

TEST(SetInEnvFile, ReplacesAValueOfSeveralLinesAsAWhole) {
  const auto text = SetInEnvFile("A='1\n2\n3'\nB=x\n", {{"A", "new"}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "A=\"new\"\nB=x\n");
}

TEST(SetInEnvFile, AppendsWhatIsNewOnALineOfItsOwn) {
  EXPECT_EQ(*SetInEnvFile("A=1", {{"B", "2"}}), "A=1\nB=\"2\"\n");
  EXPECT_EQ(*SetInEnvFile("A=1\n", {{"B", "2"}}), "A=1\nB=\"2\"\n");
  EXPECT_EQ(*SetInEnvFile("# end", {{"B", "2"}}), "# end\nB=\"2\"\n");
  EXPECT_EQ(*SetInEnvFile("", {{"B", "2"}, {"C", ""}}), "B=\"2\"\nC=\"\"\n");
}

TEST(SetInEnvFile, ReplacesEveryLineThatSetsTheName) {
  const auto text = SetInEnvFile("A=1\nB=2\nexport A=3\n", {{"A", "x"}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(ValueOf(*text), "x");
  EXPECT_EQ(text->find('3'), std::string::npos) << *text;
}

TEST(SetInEnvFile, TouchesNothingThatOnlyLooksLikeTheName) {
  const std::string text = "AA=1\n#A=1\nB='\nA=1\n'\n";
  EXPECT_EQ(*SetInEnvFile(text, {{"A", "x"}}), text + "A=\"x\"\n");
}

TEST(SetInEnvFile, RefusesWhatNoEnvironmentHolds) {
  const std::string canary = std::string("S3CRET\0", 7);
  for (const Environment& wrong : {Environment{{"A", canary}}, Environment{{"A B", "S3CRET"}},
                                   Environment{{"", "S3CRET"}}, Environment{{"A\n", "S3CRET"}}}) {
    const auto text = SetInEnvFile("", wrong);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(text.status().ToString().find("S3CRET"), std::string::npos) << text.status();
  }
}

TEST(SetInEnvFile, SurvivesTheWayThereAndBackForAnyValue) {
  std::mt19937 random(20261122);
  const std::string nasty = "\n\r\t \"'\\$#=`{}\x01\x7F\x80\xFFnrtx";
  for (int round = 0; round < 2000; ++round) {
    Environment expected;
    std::string text;
    // Several sets, some of a name that is there already, into one file.
    for (int set = 0; set < 4; ++set) {
      std::string value;
      for (size_t length = random() % 24; length > 0; --length) {
        value += random() % 2 == 0 ? nasty[random() % nasty.size()]
                                   : static_cast<char>(1 + random() % 255);
      }
      const std::string name = absl::StrCat("N", random() % 3);
      const auto changed = SetInEnvFile(text, {{name, value}});
      ASSERT_TRUE(changed.ok()) << changed.status();
      text = *changed;
      expected[name] = value;
      const auto parsed = ParseEnvFile(text);
      ASSERT_TRUE(parsed.ok()) << parsed.status() << " in round " << round;
      ASSERT_EQ(*parsed, expected) << "in round " << round;
    }
  }
}

}  // namespace
}  // namespace slipway
