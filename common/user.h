// Who this process runs as, and who others are.
#pragma once

#include <string>
#include <sys/types.h>

namespace slipway {

// The login name; `uid N` where the system knows none.
std::string UserName();
std::string UserNameOf(uid_t user);

}  // namespace slipway
