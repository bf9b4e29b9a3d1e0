#include "common/metadata_text.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "common/utf8.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetadataText, BringsAnyTextAcrossAsPrintableAscii) {
  for (const std::string text : {"", "refs/heads/main", "refs/heads/feature/ünï", "100% done",
                                 " spaces around ", "漢字 ☃"}) {
    const std::string encoded = EncodeMetadata(text);
    EXPECT_TRUE(std::all_of(encoded.begin(), encoded.end(), [](char c) {
      return c >= 0x20 && c < 0x7F;
    })) << encoded;
    EXPECT_EQ(DecodeMetadata(encoded), text);
  }
}

TEST(MetadataText, IsHarmlessInALogWhateverAClientSends) {
  EXPECT_EQ(DecodeMetadata(EncodeMetadata("a\r\nb\x1b[31m\x7f")), "a??b?[31m?");
  EXPECT_EQ(DecodeMetadata(EncodeMetadata("\xff\xfe")), "??");
  EXPECT_EQ(DecodeMetadata("%0"), "%0");
  EXPECT_EQ(DecodeMetadata("%zz"), "%zz");
  EXPECT_EQ(DecodeMetadata("%"), "%");
}

TEST(MetadataText, IsCutOffBeforeACharacter) {
  std::string text(199, 'a');
  text += "üü";
  const std::string cut = DecodeMetadata(EncodeMetadata(text));
  EXPECT_EQ(cut, std::string(199, 'a'));
  EXPECT_LE(EncodeMetadata(std::string(100'000, '\xff')).size(), 3 * kLongestMetadataText);
}

TEST(CleanSecret, TakesWhiteSpaceAroundAwayAndRefusesAnyWithin) {
  EXPECT_EQ(CleanSecret(" slipway_1_a\r\n", "SLIPWAY_TOKEN").value(), "slipway_1_a");
  EXPECT_EQ(CleanSecret("\n", "SLIPWAY_TOKEN").value(), "");
  for (const std::string bad :
       {"slipway_1\nslipway_2", "a b", "a\tb", "a\x01", "ü", std::string(5000, 'a').c_str()}) {
    const absl::Status refused = CleanSecret(bad, "SLIPWAY_TOKEN").status();
    EXPECT_EQ(DetailOf(refused).reason(), "BAD_TOKEN_TEXT");
    EXPECT_THAT(std::string(refused.message()), HasSubstr("SLIPWAY_TOKEN"));
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("slipway_")));
  }
}

}  // namespace
}  // namespace slipway
