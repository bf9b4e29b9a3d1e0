#include "controller/service_manager.h"

#include <cstddef>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "common/file.h"

namespace slipway::controller {

absl::Status TellServiceManagerReady() {
  const char* named = std::getenv("NOTIFY_SOCKET");
  if (named == nullptr || *named == '\0') return absl::OkStatus();
  const absl::string_view path = named;
  sockaddr_un address{};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("NOTIFY_SOCKET is too long");
  }
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  // A name of the abstract namespace is written with @ for its zero byte.
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  constexpr absl::string_view kReady = "READY=1";
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || sendto(fd.get(), kReady.data(), kReady.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), size) < 0) {
    return absl::UnavailableError(absl::StrCat("nobody takes a message at ", path));
  }
  return absl::OkStatus();
}

}  // namespace slipway::controller
