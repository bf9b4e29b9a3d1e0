#include "common/user.h"

#include <pwd.h>
#include <unistd.h>

namespace slipway {

std::string UserName() {
  const passwd* user = getpwuid(getuid());
  return user == nullptr ? "uid " + std::to_string(getuid()) : user->pw_name;
}

}  // namespace slipway
