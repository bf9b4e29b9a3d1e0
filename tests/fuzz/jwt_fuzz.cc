#include <cstdint>
#include <cstdlib>

#include "common/clock.h"
#include "controller/access/oidc.h"

// Without a key nothing is ever believed.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using slipway::controller::KeySet;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto keys = KeySet::Parse(text);
  const auto token = slipway::controller::ParseJwt(text);
  if (token.ok() && (keys.ok() ? *keys : KeySet()).Verify(*token).ok()) std::abort();
  slipway::controller::OidcVerifier verifier(
      "x", "y", [] { return R"({"keys": []})"; }, slipway::SystemClock());
  if (verifier.Verify(text).ok()) std::abort();
  return 0;
}
