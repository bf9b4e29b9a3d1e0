#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"

#include "common/identity.h"
#include "controller/access/tokens.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = slipway::controller::ParseToken(text);
  if (token && absl::StrCat("slipway_", token->id, "_", token->secret) != text) std::abort();
  const auto principal = slipway::ParseIdentityUri(text);
  if (principal.ok() && slipway::IdentityUri(*principal) != text) std::abort();
  return 0;
}
