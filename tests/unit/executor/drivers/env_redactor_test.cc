#include "executor/drivers/env_redactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Hidden(const Environment& environment, absl::string_view text,
                   absl::string_view known = "") {
  return EnvRedactor(environment, EnvTokens(environment), known).Hide(text);
}

TEST(EnvRedactor, ShowsTheNameInPlaceOfTheValueInAnyCase) {
  EXPECT_EQ(Hidden({{"KEY", "sk_live_42"}}, "no image xSK_LIVE_42:1"), "no image x${KEY}:1");
}

TEST(EnvRedactor, KnowsValuesThatWereEscapedNormalisedOrCutOff) {
  const Environment environment = {{"KEY", "a//b/../secret$word \"quoted\""}};
  for (const char* text : {"a//b/../secret$$word \"quoted\"", "a//b/../secret$word \\\"quoted\\\"",
                           "a/secret$word", "a//b/../secr", "secret$word"}) {
    EXPECT_THAT(Hidden(environment, text), Not(HasSubstr("secr"))) << text;
  }
  EXPECT_EQ(Hidden({{"URL", "postgres://user:passphrase@db/x"}}, "host passphrase, user"),
            "host ${URL}, user");
}

TEST(EnvRedactor, HidesTokens) {
  const Environment environment = {{"KEY", "two words"}};
  const EnvTokens tokens(environment);
  const std::string token = tokens.Names().begin()->first;
  EXPECT_EQ(EnvRedactor(environment, tokens, "").Hide("x" + token + ":1"), "x${KEY}:1");
}

TEST(EnvRedactor, ShowsWhatTheReaderSentAndWhatIsTooShortToBeASecret) {
  EXPECT_EQ(
      Hidden({{"DB", "postgres"}, {"DEBUG", "1"}}, "postgres:16 on port 1", "image: postgres:16"),
      "postgres:16 on port 1");
}

TEST(EnvRedactor, KeepsTheReasonOfAStatus) {
  const Environment environment = {{"KEY", "sk_live_42"}};
  const absl::Status hidden =
      EnvRedactor(environment, EnvTokens(environment), "")
          .Hide(Failure(pb::FAILURE_REASON_POLICY, "bind /sk_live_42", "allow /sk_live_42"));
  EXPECT_EQ(ReasonOf(hidden), pb::FAILURE_REASON_POLICY);
  EXPECT_EQ(MessageWithCure(hidden), "bind /${KEY}; allow /${KEY}");
}

}  // namespace
}  // namespace slipway::executor
