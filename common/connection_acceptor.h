// Accepts connections for a gRPC server and bounds what peers cost: how many connections there are, in all and from one peer, and
// how long, with how many bytes, a connection may go on without having shown an identity.
//
// gRPC 1.51 bounds none of that. Its own listener also stops accepting for ever when the process runs out of descriptors
// (CVE-2023-4785); this one pauses and goes on.
//
// A thread of its own accepts. It keeps a second descriptor of each connection, by which it sees the end of it and can end it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/server_builder.h>

#include "common/file.h"
#include "common/known_peers.h"

namespace slipway {

struct ConnectionLimits {
  // Open at a time. Those above are closed as they come.
  size_t connections = 4096;
  // Of one address (of IPv6: of one /64), or one user of a unix socket.
  size_t per_peer = 1024;
  // Of those that have shown no identity. They hold for TCP only: a unix socket tells connections not apart.
  size_t strangers = 512;
  size_t strangers_per_peer = 32;
  std::chrono::milliseconds stranger_time{20'000};
  // More than the largest message, for a first call shows who it comes from.
  uint64_t stranger_bytes = (1 << 20) + (256 << 10);
  // An address that has sent more than that without an identity has no strangers for so long.
  std::chrono::milliseconds penalty{60'000};
};

class ConnectionAcceptor {
 public:
  using Sink = grpc::experimental::ExternalConnectionAcceptor;
  // Where the connections of a user of a unix socket go, or of TCP when there is none; null closes the connection. Called on the
  // acceptor's thread. The sink outlives the acceptor.
  using SinkFor = std::function<Sink*(std::optional<uid_t> user)>;

  // On ADDRESS:PORT. UNAVAILABLE (reason CANNOT_LISTEN).
  static absl::StatusOr<std::vector<UniqueFd>> ListenOnTcp(const std::string& address);
  // On a unix socket, see PrepareSocket(). UNAVAILABLE (reason CANNOT_LISTEN).
  static absl::StatusOr<std::vector<UniqueFd>> ListenOnSocket(const std::string& path, mode_t mode);

  // Accepts at once and hands connections over. Without known peers nobody is a stranger.
  ConnectionAcceptor(std::vector<UniqueFd> listeners, SinkFor sink_for,
                     const ConnectionLimits& limits, std::shared_ptr<KnownPeers> known_peers);
  // Connections that were handed over stay open.
  ~ConnectionAcceptor();
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

 private:
  struct Connection {
    UniqueFd fd;
    // As KnownPeers has it; empty for a unix socket.
    std::string name;
    // What limits per peer go by.
    std::string group;
    std::chrono::steady_clock::time_point opened;
    bool stranger = false;
  };
  struct Count {
    size_t connections = 0;
    size_t strangers = 0;
  };

  void Run();
  void Accept(int listener);
  void Admit(UniqueFd fd);
  bool IsAllowed(const Connection& connection);
  void Close(int fd);
  void EndStrangers();
  bool IsPenalised(const std::string& group) const;
  void ArmListeners(bool armed);
  void Refused(const char* why, const std::string& peer);

  const std::vector<UniqueFd> listeners_;
  const SinkFor sink_for_;
  const ConnectionLimits limits_;
  const std::shared_ptr<KnownPeers> known_peers_;
  UniqueFd epoll_;
  UniqueFd stop_;
  // Touched by the thread alone. By the descriptor.
  std::map<int, Connection> connections_;
  std::map<std::string, Count> counts_;
  size_t strangers_ = 0;
  // By group, until when.
  std::map<std::string, std::chrono::steady_clock::time_point> penalties_;
  // While the process has no descriptors left.
  std::optional<std::chrono::steady_clock::time_point> paused_until_;
  std::optional<std::chrono::steady_clock::time_point> last_complaint_;
  std::thread thread_;
};

}  // namespace slipway
