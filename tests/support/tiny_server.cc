#include "tests/support/tiny_server.h"

#include <arpa/inet.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace slipway::testing {
namespace {

void Require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::abort();
}

}  // namespace

TinyServer::TinyServer(const std::string& address, uint16_t port, Handler handler)
    : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), handler_(std::move(handler)) {
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &name.sin_addr);
  Require(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0, "bind");
  Require(listen(listener_.get(), 512) == 0, "listen");
  socklen_t size = sizeof(name);
  getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&name), &size);
  port_ = ntohs(name.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

TinyServer::TinyServer(const std::string& unix_socket, Handler handler)
    : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), handler_(std::move(handler)) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  Require(unix_socket.size() < sizeof(name.sun_path), "path");
  std::memcpy(name.sun_path, unix_socket.data(), unix_socket.size());
  Require(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0, "bind");
  Require(listen(listener_.get(), 512) == 0, "listen");
  acceptor_ = std::thread([this] { Accept(); });
}

TinyServer::~TinyServer() {
  stopping_.store(true);
  shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    MutexLock lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

void TinyServer::Accept() {
  while (true) {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (stopping_.load() || fd < 0) {
      if (fd >= 0) close(fd);
      if (stopping_.load()) return;
      continue;
    }
    MutexLock lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] {
      Serve(fd);
      MutexLock unlisted(mutex_);
      open_.remove(fd);
      close(fd);
    });
  }
}

void TinyServer::Serve(int fd) {
  std::string pending;
  std::array<char, 4096> buffer;
  while (true) {
    const size_t end = pending.find("\r\n\r\n");
    if (end == std::string::npos) {
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      pending.append(buffer.data(), static_cast<size_t>(got));
      continue;
    }
    const std::string head = pending.substr(0, end + 4);
    pending.erase(0, end + 4);
    ++requests_;
    const Answer answer = handler_(head);
    const std::string text =
        !answer.raw.empty()
            ? answer.raw
            : absl::StrCat("HTTP/1.1 ", answer.status, " X\r\n", answer.headers,
                           "Content-Length: ", answer.body.size(), "\r\n\r\n", answer.body);
    for (size_t i = 0; answer.drip && i < text.size(); ++i) {
      if (stopping_.load() || send(fd, &text[i], 1, MSG_NOSIGNAL) < 0) return;
      usleep(5000);
    }
    if (answer.drip) return;
    if (send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
    if (!answer.raw.empty() || head.find("Connection: close") != std::string::npos) return;
  }
}

}  // namespace slipway::testing
