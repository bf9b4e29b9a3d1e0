// Randomness of the kernel, for secrets and ids.
#pragma once

#include <string>

namespace slipway {

std::string RandomBytes(size_t count);
// 2 * `bytes` digits.
std::string RandomHex(size_t bytes);

}  // namespace slipway
