#include "executor/drivers/evidence_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "slipway/v1/evidence.pb.h"

namespace slipway::executor {
namespace {

using ::testing::ElementsAre;

TEST(EvidenceText, KeepsTextAndReplacesWhatIsNone) {
  EXPECT_EQ(EvidenceText("gr\xc3\xbc\xc3\x9f\n\t\x01"), "gr\xc3\xbc\xc3\x9f\n\t?");
  EXPECT_EQ(EvidenceText("\xff\xfe\xc0\xaf\xed\xa0\x80"), "???????");
  EXPECT_EQ(EvidenceText("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
}

TEST(EvidenceText, NeverCutsACharacterInTwo) {
  EXPECT_EQ(EvidenceText("ab\xc3\xbc", 3), "ab");
  EXPECT_EQ(EvidenceText(std::string(5000, 'x')).size(), 2048u);
}

TEST(EvidenceText, GivesTheLastLines) {
  EXPECT_THAT(LastLines("a\n\nb\r\nc\n", 2), ElementsAre("b", "c"));
}

}  // namespace
}  // namespace slipway::executor
