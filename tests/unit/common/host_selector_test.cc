#include "common/host_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Select(const std::vector<std::string>& entries) {
  const HostLabels known = {{"db-1", {{"role", "db"}}},
                            {"web-1", {{"role", "web"}, {"zone", "eu"}}},
                            {"web-2", {{"role", "web"}, {"zone", "us"}}},
                            {"web-3", {{"role", "web"}}}};
  google::protobuf::RepeatedPtrField<std::string> list(entries.begin(), entries.end());
  return SelectHosts(list, known);
}

TEST(HostSelector, TakesHostsByNameAndByLabelEachOnce) {
  EXPECT_THAT(Select({"web-2", "role=web"}), ElementsAre("web-2", "web-1", "web-3"));
  EXPECT_THAT(Select({"role=web,zone=eu"}), ElementsAre("web-1"));
  EXPECT_THAT(Select({"role=web,zone!=eu"}), ElementsAre("web-2", "web-3"));
  EXPECT_THAT(Select({"role=mail"}), IsEmpty());
  EXPECT_THAT(Select({"unknown-host"}), ElementsAre("unknown-host"));
}

TEST(HostSelector, KnowsWhatIsASelectorAndWhatIsNot) {
  for (const char* good : {"role=web", "role!=web", "a/b.c-d_e=1.2", "a=,b=x"}) {
    EXPECT_TRUE(IsHostSelector(good)) << good;
  }
  for (const char* bad : {"web-1", "", "=web", "!=web", "role=we b", "role=web,", "ro le=web",
                          "role=a=b", "-role=web"}) {
    EXPECT_FALSE(IsHostSelector(bad)) << bad;
  }
}

}  // namespace
}  // namespace slipway
