#include "executor/drivers/env_tokens.h"

#include "absl/strings/str_split.h"
#include <gtest/gtest.h>

namespace slipway::executor {
namespace {

using nlohmann::json;

// The line's value in the file that compose gets.
std::string TokenOf(const EnvTokens& tokens, const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(tokens.CleanFile(), '\n')) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (parts.first == name) return parts.second;
  }
  return "(absent)";
}

json Restored(const EnvTokens& tokens, json document) {
  tokens.Restore(document);
  return document;
}

TEST(EnvTokens, LetPlainValuesPass) {
  const EnvTokens tokens(Environment{
      {"A", "plain-1.2_3"}, {"B", ""}, {"C", "postgres://u:p@db:5432/x?"}, {"D", "a=b,c%20+@/:"}});
  EXPECT_EQ(TokenOf(tokens, "A"), "plain-1.2_3");
  EXPECT_EQ(TokenOf(tokens, "B"), "");
  EXPECT_EQ(TokenOf(tokens, "D"), "a=b,c%20+@/:");
  // `?` is not on the list.
  EXPECT_NE(TokenOf(tokens, "C"), "postgres://u:p@db:5432/x?");
}

TEST(EnvTokens, ShowComposeNothingThatItCouldMisread) {
  const EnvTokens tokens(Environment{{"A", "two\nlines"},
                                     {"B", "$HOME ${X:-y}"},
                                     {"C", "'\"#` \\"},
                                     {"D", std::string("\x01\xFF\r\t")},
                                     {"E", "  spaces  "}});
  EXPECT_EQ(tokens.CleanFile().find_first_not_of(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,=-\n"),
            std::string::npos)
      << tokens.CleanFile();
  for (const char* name : {"A", "B", "C", "D", "E"}) EXPECT_NE(TokenOf(tokens, name), "(absent)");
}

TEST(EnvTokens, RestoreEachValueWithItsDollarsDoubled) {
  const std::string value = "a$b $$ ${C}\n'\"#\\\xC3\xA4";
  const EnvTokens tokens(Environment{{"A", value}});
  EXPECT_EQ(Restored(tokens, TokenOf(tokens, "A")), "a$$b $$$$ $${C}\n'\"#\\\xC3\xA4");
}

TEST(EnvTokens, RestoreWithinTextAndInNestedPlaces) {
  const EnvTokens tokens(Environment{{"A", "one two"}, {"B", "#"}});
  const std::string a = TokenOf(tokens, "A");
  const std::string b = TokenOf(tokens, "B");
  const json document = {
      {"url", "x://" + a + ":" + b + "@db" + a},
      {"list", {a, {{"deep", {b, 7, nullptr, true}}}}},
      {"untouched", "slipwayvalue"},
  };
  const json expected = {
      {"url", "x://one two:#@dbone two"},
      {"list", {"one two", {{"deep", {"#", 7, nullptr, true}}}}},
      {"untouched", "slipwayvalue"},
  };
  EXPECT_EQ(Restored(tokens, document), expected);
}

TEST(EnvTokens, AreNotTheBeginningOfOneAnother) {
  Environment environment;
  for (int i = 0; i < 1200; ++i)
    environment["N" + std::to_string(i)] = "value " + std::to_string(i);
  const EnvTokens tokens(environment);
  for (const auto& [name, value] : environment) {
    ASSERT_EQ(Restored(tokens, TokenOf(tokens, name) + "0"), value + "0");
  }
}

TEST(EnvTokens, DoNotRestoreWhatAValueItselfBroughtAlong) {
  const EnvTokens probe(Environment{{"A", "x y"}});
  const std::string token = TokenOf(probe, "A");
  // A value that looks like the token of another one.
  const EnvTokens tokens(Environment{{"A", "secret one"}, {"B", token}, {"C", "a " + token}});
  EXPECT_EQ(Restored(tokens, TokenOf(tokens, "B")), token);
  EXPECT_EQ(Restored(tokens, TokenOf(tokens, "C")), "a " + token);
}

}  // namespace
}  // namespace slipway::executor
