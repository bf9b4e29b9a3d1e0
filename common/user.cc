#include "common/user.h"

#include <pwd.h>
#include <unistd.h>
#include <vector>

namespace slipway {

std::string UserName() { return UserNameOf(getuid()); }

std::string UserNameOf(uid_t user) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  // Other threads may ask as well.
  const int failed = getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found);
  return failed != 0 || found == nullptr ? "uid " + std::to_string(user) : entry.pw_name;
}

}  // namespace slipway
