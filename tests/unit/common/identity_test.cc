#include "common/identity.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

TEST(IdentityUri, IsReadAsItIsWritten) {
  for (const Principal& principal :
       {Principal{pb::ROLE_CONTROLLER, "", ""}, Principal{pb::ROLE_EXECUTOR, "", "web-1"},
        Principal{pb::ROLE_OPERATOR, "", "ann@example.org"},
        Principal{pb::ROLE_DEPLOYER, "gifty", "ci"}, Principal{pb::ROLE_VIEWER, "", "grafana"}}) {
    const auto read = ParseIdentityUri(IdentityUri(principal));
    ASSERT_TRUE(read.ok()) << IdentityUri(principal);
    EXPECT_EQ(*read, principal);
  }
}

TEST(IdentityUri, TakesNothingElse) {
  // An application that is left out is not every application.
  for (const char* uri :
       {"", "spiffe://slipway/", "spiffe://slipway/root", "spiffe://other/controller",
        "spiffe://slipway/controller/x", "spiffe://slipway/executor", "spiffe://slipway/executor/",
        "spiffe://slipway/executor/a/b", "spiffe://slipway/deployer//ci",
        "spiffe://slipway/deployer/gifty", "spiffe://slipway/deployer/Gifty/ci",
        "spiffe://slipway/viewer/-/", "spiffe://slipway/operator/-x",
        "spiffe://slipway/operator/a b", "SPIFFE://slipway/controller"}) {
    EXPECT_FALSE(ParseIdentityUri(uri).ok()) << uri;
  }
}

}  // namespace
}  // namespace slipway
