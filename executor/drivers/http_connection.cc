#include "executor/drivers/http_connection.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/status.h"

namespace slipway::executor {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

absl::StatusOr<SocketAddress> AddressOf(const HttpEndpoint& endpoint) {
  SocketAddress address;
  if (!endpoint.unix_socket.empty()) {
    auto* const path = reinterpret_cast<sockaddr_un*>(&address.storage);
    path->sun_family = AF_UNIX;
    if (endpoint.unix_socket.size() >= sizeof(path->sun_path)) {
      return absl::InvalidArgumentError("the path of the unix socket is too long");
    }
    std::memcpy(path->sun_path, endpoint.unix_socket.data(), endpoint.unix_socket.size());
    address.size = sizeof(sockaddr_un);
    return address;
  }
  const std::string text = endpoint.address == "localhost" ? "127.0.0.1" : endpoint.address;
  auto* const four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  const auto port = htons(static_cast<uint16_t>(endpoint.port));
  if (endpoint.port == 0 || endpoint.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(endpoint.port, " is not a port"));
  }
  if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = port;
    address.size = sizeof(sockaddr_in);
  } else if (inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = port;
    address.size = sizeof(sockaddr_in6);
  } else {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a numeric address"));
  }
  return address;
}

absl::Status SocketError(int error, absl::string_view what) {
  const std::string text = absl::StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case ECONNREFUSED:
      return absl::UnavailableError(text);
    case ENOENT:
      return absl::NotFoundError(text);
    case ECONNRESET:
    case EPIPE:
      return absl::AbortedError(text);
    case ETIMEDOUT:
      return absl::DeadlineExceededError(text);
    default:
      return absl::InternalError(text);
  }
}

// Made once: reading OpenSSL's configuration costs milliseconds.
SSL_CTX* TlsContext() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    if (made != nullptr) SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
    return made;
  }();
  return context;
}

}  // namespace

HttpConnection::HttpConnection(Cancellation* cancellation)
    : cancel_event_(cancellation == nullptr ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      hook_(cancellation, [fd = cancel_event_.get()] { eventfd_write(fd, 1); }) {}

HttpConnection::~HttpConnection() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

absl::Status HttpConnection::Open(const HttpEndpoint& endpoint, Deadline deadline) {
  SLIPWAY_RETURN_IF_ERROR(Connect(endpoint, deadline));
  if (!endpoint.tls || !endpoint.unix_socket.empty()) return absl::OkStatus();
  return StartTls(endpoint.server_name, deadline);
}

absl::Status HttpConnection::Connect(const HttpEndpoint& endpoint, Deadline deadline) {
  SLIPWAY_ASSIGN_OR_RETURN(const SocketAddress address, AddressOf(endpoint));
  socket_ =
      UniqueFd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return ErrnoError("socket");
  const int on = 1;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) ==
      0) {
    return absl::OkStatus();
  }
  if (errno != EINPROGRESS) return SocketError(errno, "connect");
  SLIPWAY_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline));
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? absl::OkStatus() : SocketError(error, "connect");
}

absl::Status HttpConnection::StartTls(const std::string& server_name, Deadline deadline) {
  if (TlsContext() == nullptr) return absl::InternalError("OpenSSL gave no context");
  ssl_ = SSL_new(TlsContext());
  if (ssl_ == nullptr || SSL_set_fd(ssl_, socket_.get()) != 1) {
    return absl::InternalError("OpenSSL gave no session");
  }
  if (!server_name.empty()) SSL_set_tlsext_host_name(ssl_, server_name.c_str());
  while (true) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_);
    if (result == 1) return absl::OkStatus();
    SLIPWAY_ASSIGN_OR_RETURN(const short events, AfterSsl(result, "TLS handshake"));
    SLIPWAY_RETURN_IF_ERROR(WaitFor(events, deadline));
  }
}

absl::StatusOr<short> HttpConnection::AfterSsl(int result, absl::string_view what) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return static_cast<short>(POLLIN);
    case SSL_ERROR_WANT_WRITE:
      return static_cast<short>(POLLOUT);
    case SSL_ERROR_SYSCALL:
      return saved_errno == 0 ? absl::AbortedError(absl::StrCat(what, ": closed"))
                              : SocketError(saved_errno, what);
    default: {
      std::array<char, 256> text{};
      ERR_error_string_n(ERR_get_error(), text.data(), text.size());
      return absl::InternalError(absl::StrCat(what, ": ", text.data()));
    }
  }
}

absl::Status HttpConnection::WaitFor(short events, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return absl::DeadlineExceededError("no answer in time");
    std::array<pollfd, 2> polled = {pollfd{socket_.get(), events, 0},
                                    pollfd{cancel_event_.get(), POLLIN, 0}};
    const int ready = poll(polled.data(), polled.size(),
                           static_cast<int>(std::min<int64_t>(left.count(), 1'000'000)));
    if (ready < 0 && errno != EINTR) return ErrnoError("poll");
    if (ready <= 0) continue;
    if (polled[1].revents != 0) return absl::CancelledError("cancelled");
    return absl::OkStatus();
  }
}

absl::Status HttpConnection::Write(absl::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    short events = POLLOUT;
    ssize_t wrote = 0;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int piece = static_cast<int>(std::min<size_t>(bytes.size(), 1 << 20));
      wrote = SSL_write(ssl_, bytes.data(), piece);
      if (wrote <= 0) {
        SLIPWAY_ASSIGN_OR_RETURN(events, AfterSsl(static_cast<int>(wrote), "write"));
      }
    } else {
      wrote = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0 && errno != EAGAIN) return SocketError(errno, "write");
    }
    if (wrote > 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else {
      SLIPWAY_RETURN_IF_ERROR(WaitFor(events, deadline));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> HttpConnection::Read(char* buffer, size_t size, Deadline deadline) {
  while (true) {
    short events = POLLIN;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int got = SSL_read(ssl_, buffer, static_cast<int>(size));
      if (got > 0) return static_cast<size_t>(got);
      if (SSL_get_error(ssl_, got) == SSL_ERROR_ZERO_RETURN) return 0;
      SLIPWAY_ASSIGN_OR_RETURN(events, AfterSsl(got, "read"));
    } else {
      const ssize_t got = recv(socket_.get(), buffer, size, 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return SocketError(errno, "read");
    }
    SLIPWAY_RETURN_IF_ERROR(WaitFor(events, deadline));
  }
}

}  // namespace slipway::executor
