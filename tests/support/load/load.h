// Mixed traffic against one site, counted per kind: what a deployment must not disturb. Plain
// blocking sockets, a thread per client, bounded by Stop(). Addresses on the loopback only.
//
// A request counts as failed when its answer is not what the example application gives: another
// status, a short body, a stream without its last line, a websocket that ends. A keep-alive
// connection that the server closed between two requests is counted as closed; when that met a
// request already on its way, without a byte of answer, the request is sent again on a new
// connection, as every HTTP client does (RFC 9110, 9.2.2), and counted as raced.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace slipway::load {

struct Counts {
  uint64_t requests = 0;
  uint64_t failed = 0;
  uint64_t closed = 0;
  uint64_t raced = 0;
  std::string first_failure;
};

struct Mix {
  int keep_alive = 4;
  int one_shot = 4;
  int slow = 4;
  int upload = 2;
  int stream = 2;
  int websocket = 2;
  int silent = 2;
  // Pause between the requests of one keep-alive or one-shot client.
  int pause_ms = 10;
  int slow_ms = 2000;
  int stream_ms = 20000;
};

class MixedLoad {
 public:
  // `address` is IPv4 on the loopback; `host` the Host header.
  MixedLoad(std::string address, uint16_t port, std::string host, Mix mix);
  ~MixedLoad();

  void Start();
  // Lets every request under way end, at most a stream's length.
  void Stop();
  std::map<std::string, Counts> Results() const;
  Counts Total() const;
  // Answers of `/` by version, for proofs of who served.
  std::map<std::string, uint64_t> Versions() const;

 private:
  class Client;

  void Count(const std::string& kind, bool ok, const std::string& why);
  void CountClosed(const std::string& kind, bool raced);
  void Launch(const std::string& kind, int count, void (MixedLoad::*body)(const std::string&));
  void KeepAlive(const std::string& kind);
  void OneShot(const std::string& kind);
  void Slow(const std::string& kind);
  void Upload(const std::string& kind);
  void Stream(const std::string& kind);
  void WebSocket(const std::string& kind);
  void Silent(const std::string& kind);
  bool Stopping() const { return stopping_.load(); }
  void Pause(int ms) const;

  const std::string address_;
  const uint16_t port_;
  const std::string host_;
  const Mix mix_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
  mutable std::mutex mutex_;
  std::map<std::string, Counts> counts_;
  std::map<std::string, uint64_t> versions_;
};

}  // namespace slipway::load
