#include "common/connection_acceptor.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include <netdb.h>

#include "common/logging.h"
#include "common/status.h"
#include "common/unix_socket.h"

namespace slipway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kBacklog = 1024;
constexpr milliseconds kStrangersAreLookedAt{20};
constexpr milliseconds kPauseWithoutDescriptors{100};
constexpr std::chrono::minutes kBetweenComplaints{1};

absl::Status CannotListen(const std::string& where, const std::string& why, const char* cure) {
  return Error(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
               absl::StrCat("cannot listen on ", where, ": ", why), cure);
}

struct Peer {
  std::string name;
  std::string group;
  // Of a unix socket.
  std::optional<uid_t> user = std::nullopt;
};

Peer PeerOf(const in_addr& address, in_port_t port) {
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, &address, text.data(), text.size());
  return {absl::StrCat("ipv4:", text.data(), ":", ntohs(port)), text.data()};
}

Peer PeerOf(const sockaddr_in6& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
    in_addr mapped{};
    std::memcpy(&mapped, &address.sin6_addr.s6_addr[12], sizeof(mapped));
    return PeerOf(mapped, address.sin6_port);
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
  std::string name = absl::StrCat("ipv6:[", text.data(), "]:", ntohs(address.sin6_port));
  // One subscriber has a whole /64.
  in6_addr network = address.sin6_addr;
  std::memset(&network.s6_addr[8], 0, 8);
  inet_ntop(AF_INET6, &network, text.data(), text.size());
  return {std::move(name), absl::StrCat(text.data(), "/64")};
}

// Without a name for the user of a unix socket.
Peer PeerOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return PeerOf(v4.sin_addr, v4.sin_port);
  }
  if (address.ss_family == AF_INET6) return PeerOf(reinterpret_cast<const sockaddr_in6&>(address));
  ucred user{};
  size = sizeof(user);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) != 0) return {};
  return {"", absl::StrCat("uid ", user.uid), user.uid};
}

// What the kernel has taken in of this connection, whether or not it was read.
uint64_t ReceivedBytes(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

absl::StatusOr<UniqueFd> ListenOn(const addrinfo& address, const std::string& where) {
  UniqueFd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const int off = 0;
  if (fd && address.ai_family == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
    return CannotListen(where, std::strerror(errno),
                        "is the address one of this machine, and the port free?");
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::vector<UniqueFd>> ConnectionAcceptor::ListenOnTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return CannotListen(address, "it is not ADDRESS:PORT", "such as 0.0.0.0:9781");
  }
  absl::string_view host = absl::string_view(address).substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failed =
      getaddrinfo(std::string(host).c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (failed != 0) {
    return CannotListen(address, gai_strerror(failed), "write ADDRESS:PORT, such as 0.0.0.0:9781");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  std::vector<UniqueFd> listeners;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SLIPWAY_ASSIGN_OR_RETURN(UniqueFd fd, ListenOn(*one, address));
    listeners.push_back(std::move(fd));
  }
  return listeners;
}

absl::StatusOr<std::vector<UniqueFd>> ConnectionAcceptor::ListenOnSocket(const std::string& path,
                                                                         mode_t mode) {
  SLIPWAY_RETURN_IF_ERROR(PrepareSocket(path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const SocketMode as_wanted(mode);
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return CannotListen(absl::StrCat("unix:", path), std::strerror(errno),
                        "check that the folder is writable for this user");
  }
  std::vector<UniqueFd> listeners;
  listeners.push_back(std::move(fd));
  return listeners;
}

ConnectionAcceptor::ConnectionAcceptor(std::vector<UniqueFd> listeners, SinkFor sink_for,
                                       const ConnectionLimits& limits,
                                       std::shared_ptr<KnownPeers> known_peers)
    : listeners_(std::move(listeners)),
      sink_for_(std::move(sink_for)),
      limits_(limits),
      known_peers_(std::move(known_peers)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = stop_.get();
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event);
  for (const UniqueFd& listener : listeners_) {
    event.data.fd = listener.get();
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener.get(), &event);
  }
  thread_ = std::thread([this] { Run(); });
}

ConnectionAcceptor::~ConnectionAcceptor() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void ConnectionAcceptor::Run() {
  std::array<epoll_event, 64> events{};
  while (true) {
    const bool timed = strangers_ > 0 || paused_until_;
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(),
                                 timed ? static_cast<int>(kStrangersAreLookedAt.count()) : -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_.get()) return;
      if (connections_.contains(fd)) {
        Close(fd);
      } else {
        Accept(fd);
      }
    }
    if (paused_until_ && steady_clock::now() >= *paused_until_) {
      paused_until_.reset();
      ArmListeners(true);
    }
    EndStrangers();
  }
}

void ConnectionAcceptor::ArmListeners(bool armed) {
  for (const UniqueFd& listener : listeners_) {
    epoll_event event{};
    event.events = armed ? static_cast<uint32_t>(EPOLLIN) : 0;
    event.data.fd = listener.get();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener.get(), &event);
  }
}

void ConnectionAcceptor::Accept(int listener) {
  constexpr int kAtATime = 64;
  for (int i = 0; i < kAtATime; ++i) {
    UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      Admit(std::move(fd));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      Refused("the system has no descriptor for it", "");
      paused_until_ = steady_clock::now() + kPauseWithoutDescriptors;
      ArmListeners(false);
      return;
    }
    // A connection that was given up before it was accepted is no reason to stop.
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
  }
}

bool ConnectionAcceptor::IsAllowed(const Connection& connection) {
  const auto found = counts_.find(connection.group);
  const Count here = found == counts_.end() ? Count() : found->second;
  const bool allowed =
      connections_.size() < limits_.connections && here.connections < limits_.per_peer &&
      (!connection.stranger ||
       (strangers_ < limits_.strangers && here.strangers < limits_.strangers_per_peer));
  return allowed;
}

void ConnectionAcceptor::Admit(UniqueFd fd) {
  Peer peer = PeerOf(fd.get());
  Connection connection;
  connection.fd = UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  connection.name = std::move(peer.name);
  connection.group = std::move(peer.group);
  connection.opened = steady_clock::now();
  connection.stranger = known_peers_ != nullptr && !connection.name.empty();
  if (!connection.fd || !IsAllowed(connection)) {
    Refused("there are too many connections", connection.group);
    return;
  }
  Sink* const sink = sink_for_(peer.user);
  if (sink == nullptr) {
    Refused("there are too many users", connection.group);
    return;
  }
  const int on = 1;
  if (!connection.name.empty()) {
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  epoll_event event{};
  // The end of both directions is always told.
  event.events = 0;
  event.data.fd = connection.fd.get();
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event);
  Count& count = counts_[connection.group];
  ++count.connections;
  if (connection.stranger) {
    ++count.strangers;
    ++strangers_;
    known_peers_->Opened(connection.name);
  }
  connections_.emplace(connection.fd.get(), std::move(connection));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = fd.Release();
  sink->HandleNewConnection(&parameters);
}

void ConnectionAcceptor::Close(int fd) {
  const auto found = connections_.find(fd);
  const Connection& connection = found->second;
  // The description lives on while gRPC has it open.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const auto count = counts_.find(connection.group);
  --count->second.connections;
  if (connection.stranger) {
    --count->second.strangers;
    --strangers_;
  }
  if (count->second.connections == 0) counts_.erase(count);
  if (known_peers_ != nullptr && !connection.name.empty()) known_peers_->Closed(connection.name);
  connections_.erase(found);
}

bool ConnectionAcceptor::IsPenalised(const std::string& group) const {
  const auto found = penalties_.find(group);
  return found != penalties_.end() && steady_clock::now() < found->second;
}

namespace {

// Ends the connection at once, whatever either side has still to read: a peer that goes on sending
// into a socket that gRPC does not read would otherwise be held, and hold it, for ever. gRPC sees the
// end as well, and closes its own descriptor.
void Reset(int fd) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (connect(fd, &nobody, sizeof(nobody)) != 0) shutdown(fd, SHUT_RDWR);
}

}  // namespace

void ConnectionAcceptor::EndStrangers() {
  const auto now = steady_clock::now();
  std::erase_if(penalties_, [now](const auto& penalty) { return penalty.second <= now; });
  if (strangers_ == 0) return;
  for (auto& [fd, connection] : connections_) {
    if (!connection.stranger) continue;
    if (known_peers_->IsIdentified(connection.name)) {
      connection.stranger = false;
      --counts_[connection.group].strangers;
      --strangers_;
      continue;
    }
    const bool greedy = ReceivedBytes(fd) > limits_.stranger_bytes;
    if (greedy) penalties_[connection.group] = now + limits_.penalty;
    if (greedy || now - connection.opened > limits_.stranger_time ||
        IsPenalised(connection.group)) {
      Refused("it has shown no identity", connection.name);
      Reset(fd);
    }
  }
}

void ConnectionAcceptor::Refused(const char* why, const std::string& peer) {
  const auto now = steady_clock::now();
  if (last_complaint_ && now - *last_complaint_ < kBetweenComplaints) return;
  last_complaint_ = now;
  LogWarning("a connection was ended, and perhaps more within this minute",
             {{"peer", peer}, {"reason", why}});
}

}  // namespace slipway
