#include "executor/steps/local_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/file.h"

namespace slipway::executor {

bool PortIsFree(const std::string& address, uint32_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // As nginx and docker do; without it a connection in TIME_WAIT would count as an owner.
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  return inet_pton(AF_INET, address.c_str(), &to.sin_addr) == 1 &&
         bind(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
}

}  // namespace slipway::executor
