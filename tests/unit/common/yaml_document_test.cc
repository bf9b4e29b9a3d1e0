#include "common/yaml_document.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view text) {
  return std::string(LoadYaml(text, "a.yaml").status().message());
}

TEST(YamlDocument, IsATree) {
  const auto document = LoadYaml("a: &x [1, 2]\nb: *x\n", "a.yaml");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ((*document)["b"][1].Scalar(), "2");
  const auto empty = LoadYaml("# nothing\n", "a.yaml");
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE(empty->IsNull());
}

TEST(YamlDocument, SaysWhereItIsBroken) {
  EXPECT_THAT(ErrorOf("a: [\n"), HasSubstr("a.yaml:2:1: "));
  EXPECT_EQ(ErrorOf("a: 1\n---\nb: 2\n"),
            "a.yaml:2:1: expected the end of the file; a second document?");
}

// yaml-cpp takes the comma for an empty document, and another one, and another one.
TEST(YamlDocument, AStrayCommaEnds) {
  EXPECT_THAT(ErrorOf("# What\n.,easy napp: hello.h\n,app: hello"), HasSubstr("a.yaml:"));
  EXPECT_THAT(ErrorOf("app: hello\n,"), HasSubstr("a.yaml:"));
  EXPECT_THAT(ErrorOf(", app: hello"), HasSubstr("a.yaml:1:1: "));
}

TEST(YamlDocument, AnAnchorWithinItselfIsRefused) {
  EXPECT_EQ(ErrorOf("a: &x\n  b: *x\n"), "a.yaml:2:6: an anchor within itself");
  EXPECT_EQ(ErrorOf("&x [[*x]]"), "a.yaml:1:6: an anchor within itself");
}

TEST(YamlDocument, AliasesDoNotMultiply) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i <= 9; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&text, j == 0 ? "" : ",", "*a", i - 1);
    absl::StrAppend(&text, "]\n");
  }
  EXPECT_THAT(ErrorOf(text), HasSubstr("more than 100000 values, aliases followed"));
}

TEST(YamlDocument, AliasesDoNotNestWithoutEnd) {
  std::string text = "- &a0 [x]\n";
  for (int i = 1; i <= 200; ++i) absl::StrAppend(&text, "- &a", i, " [*a", i - 1, "]\n");
  EXPECT_THAT(ErrorOf(text), HasSubstr("nested deeper than 100 levels, aliases followed"));
  EXPECT_THAT(ErrorOf(std::string(5000, '[')), HasSubstr("a.yaml:1:"));
}

}  // namespace
}  // namespace slipway
