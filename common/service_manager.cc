#include "common/service_manager.h"

#include <cstddef>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/string_view.h"

#include "common/file.h"
#include "common/logging.h"

namespace slipway {

void TellServiceManagerReady() {
  const char* named = std::getenv("NOTIFY_SOCKET");
  if (named == nullptr || *named == '\0') return;
  // Longer than a name may be, it is nobody's.
  const absl::string_view path = absl::string_view(named).substr(0, sizeof(sockaddr_un::sun_path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  // A name of the abstract namespace is written with @ for its zero byte.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  constexpr absl::string_view kReady = "READY=1";
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || sendto(fd.get(), kReady.data(), kReady.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), size) < 0) {
    LogWarning("the service manager takes no message", {{"socket", named}});
  }
}

}  // namespace slipway
