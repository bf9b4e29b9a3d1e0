#include <cstdint>

#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  slipway::executor::ReferencesOf(text, "compose.yaml").status().IgnoreError();
  slipway::executor::EnvFilesOf(text);
  const auto document = slipway::executor::ParseComposeDocument(text);
  if (document.ok()) {
    slipway::executor::CheckComposePolicy(*document, "x", "/state/release", {}).IgnoreError();
  }
  return 0;
}
