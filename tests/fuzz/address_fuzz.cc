#include <cstdint>
#include <cstdlib>

#include "clients/transport/address.h"

// What is read is written as something that reads the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto address = slipway::ParseAddress(text);
  if (!address.ok()) return 0;
  const auto again = slipway::ParseAddress(slipway::ToString(*address));
  if (!again.ok() || !(*again == *address)) std::abort();
  return 0;
}
