#include <cstdint>

#include "common/env_file.h"
#include "common/spec.h"
#include "common/yaml_proto.h"

#include "slipway/config/v1/config.pb.h"
#include "slipway/v1/applications.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  slipway::pb::ApplicationSpec spec;
  if (slipway::ParseYaml(text, "slipway.yaml", spec).ok()) {
    slipway::ApplyDefaults(spec);
    slipway::ValidateSpec(spec).IgnoreError();
  }
  slipway::config::v1::ControllerConfig config;
  slipway::ParseYaml(text, "controller.yaml", config).IgnoreError();
  slipway::ParseEnvFile(text).status().IgnoreError();
  return 0;
}
