#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace slipway::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// False at the end of either.
bool Move(int from, int to) {
  char bytes[64 << 10];
  const ssize_t got = read(from, bytes, sizeof(bytes));
  return got > 0 && WriteAll(to, {bytes, static_cast<size_t>(got)}).ok();
}

}  // namespace

TcpProxy::TcpProxy(int server_port) : server_port_(server_port) {
  listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_.get(), plain, size) != 0 || listen(listener_.get(), 100) != 0 ||
      getsockname(listener_.get(), plain, &size) != 0) {
    std::perror("TcpProxy");
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  accepts_ = std::thread([this] { Accept(); });
}

TcpProxy::~TcpProxy() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    thawed_.NotifyAll();
  }
  const uint64_t one = 1;
  static_cast<void>(write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  accepts_.join();
  std::list<std::thread> relays;
  {
    MutexLock lock(mutex_);
    relays.swap(relays_);
  }
  for (std::thread& relay : relays) relay.join();
}

void TcpProxy::CutAt(int sending, Cut cut) {
  MutexLock lock(mutex_);
  countdown_ = sending;
  cut_ = cut;
}

bool TcpProxy::HasCut() {
  MutexLock lock(mutex_);
  return countdown_ == 0;
}

void TcpProxy::Freeze(bool frozen) {
  MutexLock lock(mutex_);
  frozen_ = frozen;
  closed_ = closed_ && frozen;
  thawed_.NotifyAll();
}

TcpProxy::Fate TcpProxy::Count() {
  MutexLock lock(mutex_);
  if (countdown_ == 0 || --countdown_ > 0) return Fate::kPass;
  return cut_ == Cut::kBefore ? Fate::kCutNow : Fate::kCutAtAnswer;
}

bool TcpProxy::AwaitThaw() {
  MutexLock lock(mutex_);
  while (frozen_ && !stopped_) thawed_.Wait(mutex_);
  return !stopped_;
}

void TcpProxy::Accept() {
  while (true) {
    pollfd wait[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    poll(wait, 2, -1);
    if (wait[1].revents != 0) return;
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    MutexLock lock(mutex_);
    if (closed_) continue;
    relays_.emplace_back([this, fd = client.Release()] { Relay(UniqueFd(fd)); });
  }
}

void TcpProxy::Relay(UniqueFd client) {
  const UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(server_port_);
  if (connect(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return;
  bool lose_answer = false;
  while (true) {
    pollfd wait[] = {
        {client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    poll(wait, 3, -1);
    if (wait[2].revents != 0 || !AwaitThaw()) return;
    if (wait[0].revents != 0) {
      const Fate fate = Count();
      if (fate == Fate::kCutNow) return;
      lose_answer = lose_answer || fate == Fate::kCutAtAnswer;
      if (!Move(client.get(), server.get())) return;
    }
    if (wait[1].revents == 0) continue;
    if (lose_answer) {
      MutexLock lock(mutex_);
      closed_ = closed_ || cut_ == Cut::kAfterForGood;
      return;
    }
    if (!Move(server.get(), client.get())) return;
  }
}

}  // namespace slipway::testing
