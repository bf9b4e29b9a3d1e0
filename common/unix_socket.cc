#include "common/unix_socket.h"

#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/status.h"

namespace slipway {
namespace {

// Connects to find out whether somebody listens; a socket file alone says nothing.
bool SomebodyListens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

absl::Status PrepareSocket(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(absl::StatusCode::kInvalidArgument, "SOCKET_PATH_TOO_LONG",
                 absl::StrCat("the socket's path has ", path.size(), " bytes: ", path),
                 "choose one of at most 107 bytes");
  }
  SLIPWAY_RETURN_IF_ERROR(MakeFolders(std::filesystem::path(path).parent_path(), 0750));
  if (SomebodyListens(path)) {
    return Error(absl::StatusCode::kAlreadyExists, "SOCKET_IN_USE",
                 absl::StrCat("another process serves ", path),
                 "stop it, or give this one another socket");
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

SocketMode::SocketMode(mode_t mode) : before_(umask(static_cast<mode_t>(~mode & 0777))) {}
SocketMode::~SocketMode() { umask(before_); }

}  // namespace slipway
