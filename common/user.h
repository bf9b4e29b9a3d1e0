// Who this process runs as.
#pragma once

#include <string>

namespace slipway {

// The login name; `uid N` where the system knows none.
std::string UserName();

}  // namespace slipway
