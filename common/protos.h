// The generated namespaces by short names: `pb` is the public API, `xpb` the private contract with executors. Written out,
// `v1` would mean another one inside namespace slipway::executor than outside it.
#pragma once

namespace slipway::v1 {}
namespace slipway::executor::v1 {}

namespace slipway {
namespace pb = ::slipway::v1;
namespace xpb = ::slipway::executor::v1;
}  // namespace slipway
