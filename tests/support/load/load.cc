#include "tests/support/load/load.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace slipway::load {

using std::chrono::milliseconds;

// One connection. Every function answers false with `why` set when the peer did not do as it
// should.
class MixedLoad::Client {
 public:
  explicit Client(const MixedLoad& load) : load_(load) {}
  ~Client() { Close(); }

  bool Connect() {
    Close();
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(load_.port_);
    inet_pton(AF_INET, load_.address_.c_str(), &to.sin_addr);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    timeval limit{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) return Fail("connect");
    return true;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    input_.clear();
  }
  bool IsOpen() const { return fd_ >= 0; }
  // The server has closed, or reset, while nothing was asked.
  bool ClosedByServer() const {
    pollfd poll_fd{fd_, POLLIN | POLLRDHUP, 0};
    return poll(&poll_fd, 1, 0) > 0;
  }

  bool Send(const std::string& text) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t got = send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (got <= 0) return Fail("send");
      sent += static_cast<size_t>(got);
    }
    return true;
  }

  bool Ask(const std::string& line, const std::string& headers = "") {
    return Send(line + " HTTP/1.1\r\nHost: " + load_.host_ + "\r\n" + headers + "\r\n");
  }

  // The whole answer; true for a 200 that is complete.
  bool ReadAnswer() {
    any_byte_ = !input_.empty();
    size_t end;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!More("head")) return false;
    }
    head_ = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    std::transform(head_.begin(), head_.end(), head_.begin(), ::tolower);
    if (head_.compare(9, 3, "200") != 0 && head_.compare(9, 3, "101") != 0) {
      why = "status " + head_.substr(9, 3);
      return false;
    }
    if (head_.compare(9, 3, "101") == 0) return true;
    if (head_.find("transfer-encoding: chunked") != std::string::npos) return ReadChunks();
    const size_t at = head_.find("content-length: ");
    if (at == std::string::npos) return Fail("an answer without a length");
    const size_t length = std::stoul(head_.substr(at + 16));
    while (input_.size() < length) {
      if (!More("body")) return false;
    }
    body = input_.substr(0, length);
    input_.erase(0, length);
    return true;
  }

  bool ReadExactly(size_t bytes) {
    while (input_.size() < bytes) {
      if (!More("frame")) return false;
    }
    body = input_.substr(0, bytes);
    input_.erase(0, bytes);
    return true;
  }

  bool any_byte() const { return any_byte_; }
  std::string body;
  std::string why;

 private:
  bool ReadChunks() {
    body.clear();
    while (true) {
      size_t end;
      while ((end = input_.find("\r\n")) == std::string::npos) {
        if (!More("chunk")) return false;
      }
      const size_t size = std::stoul(input_.substr(0, end), nullptr, 16);
      while (input_.size() < end + 2 + size + 2) {
        if (!More("chunk")) return false;
      }
      body += input_.substr(end + 2, size);
      input_.erase(0, end + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  bool More(const char* what) {
    std::array<char, 16384> chunk;
    const ssize_t got = recv(fd_, chunk.data(), chunk.size(), 0);
    if (got == 0) {
      why = std::string("closed in the ") + what;
      return false;
    }
    if (got < 0) return Fail(what);
    any_byte_ = true;
    input_.append(chunk.data(), static_cast<size_t>(got));
    return true;
  }
  bool Fail(const char* what) {
    why = std::string(what) + ": " + std::strerror(errno);
    return false;
  }

  const MixedLoad& load_;
  int fd_ = -1;
  bool any_byte_ = false;
  std::string input_;
  std::string head_;
};

MixedLoad::MixedLoad(std::string address, uint16_t port, std::string host, Mix mix)
    : address_(std::move(address)), port_(port), host_(std::move(host)), mix_(mix) {}

MixedLoad::~MixedLoad() { Stop(); }

void MixedLoad::Launch(const std::string& kind, int count,
                       void (MixedLoad::*body)(const std::string&)) {
  counts_[kind];
  for (int i = 0; i < count; ++i) threads_.emplace_back(body, this, kind);
}

void MixedLoad::Start() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Launch("keep-alive", mix_.keep_alive, &MixedLoad::KeepAlive);
  Launch("one-shot", mix_.one_shot, &MixedLoad::OneShot);
  Launch("slow", mix_.slow, &MixedLoad::Slow);
  Launch("upload", mix_.upload, &MixedLoad::Upload);
  Launch("stream", mix_.stream, &MixedLoad::Stream);
  Launch("websocket", mix_.websocket, &MixedLoad::WebSocket);
  Launch("silent", mix_.silent, &MixedLoad::Silent);
}

void MixedLoad::Stop() {
  stopping_.store(true);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void MixedLoad::Count(const std::string& kind, bool ok, const std::string& why) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Counts& counts = counts_[kind];
    ++counts.requests;
    if (ok) return;
    ++counts.failed;
    if (counts.first_failure.empty()) counts.first_failure = why;
  }
  // While nobody serves, a client that asked again at once would take all of a processor.
  Pause(mix_.pause_ms);
}

void MixedLoad::CountClosed(const std::string& kind, bool raced) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++(raced ? counts_[kind].raced : counts_[kind].closed);
}

void MixedLoad::Pause(int ms) const { std::this_thread::sleep_for(milliseconds(ms)); }

void MixedLoad::KeepAlive(const std::string& kind) {
  Client client(*this);
  while (!Stopping()) {
    bool reused = client.IsOpen();
    if (reused && client.ClosedByServer()) {
      CountClosed(kind, /*raced=*/false);
      client.Close();
      reused = false;
    }
    bool ok = (client.IsOpen() || client.Connect()) && client.Ask("GET /") && client.ReadAnswer();
    if (!ok && reused && !client.any_byte()) {
      CountClosed(kind, /*raced=*/true);
      ok = client.Connect() && client.Ask("GET /") && client.ReadAnswer();
    }
    Count(kind, ok, client.why);
    if (ok) {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++versions_[client.body];
    } else {
      client.Close();
    }
    Pause(mix_.pause_ms);
  }
}

void MixedLoad::OneShot(const std::string& kind) {
  while (!Stopping()) {
    Client client(*this);
    const bool ok =
        client.Connect() && client.Ask("GET /", "Connection: close\r\n") && client.ReadAnswer();
    Count(kind, ok, client.why);
    Pause(mix_.pause_ms);
  }
}

void MixedLoad::Slow(const std::string& kind) {
  while (!Stopping()) {
    Client client(*this);
    const bool ok =
        client.Connect() &&
        client.Ask("GET /slow?ms=" + std::to_string(mix_.slow_ms), "Connection: close\r\n") &&
        client.ReadAnswer() && client.body == "slow\n";
    Count(kind, ok, client.why);
  }
}

void MixedLoad::Upload(const std::string& kind) {
  const std::string piece(16384, 'x');
  constexpr int kPieces = 16;
  while (!Stopping()) {
    Client client(*this);
    bool ok = client.Connect() &&
              client.Ask("POST /upload", "Connection: close\r\nContent-Length: " +
                                             std::to_string(piece.size() * kPieces) + "\r\n");
    for (int i = 0; ok && i < kPieces; ++i) {
      ok = client.Send(piece);
      Pause(50);
    }
    ok = ok && client.ReadAnswer() && client.body == std::to_string(piece.size() * kPieces) + "\n";
    Count(kind, ok, client.why);
  }
}

void MixedLoad::Stream(const std::string& kind) {
  while (!Stopping()) {
    Client client(*this);
    bool ok =
        client.Connect() &&
        client.Ask("GET /stream?ms=" + std::to_string(mix_.stream_ms), "Connection: close\r\n") &&
        client.ReadAnswer();
    if (ok && (client.body.size() < 4 || client.body.substr(client.body.size() - 4) != "end\n")) {
      ok = false;
      client.why = "the stream has no end";
    }
    Count(kind, ok, client.why);
  }
}

void MixedLoad::WebSocket(const std::string& kind) {
  // A masked text frame of `ping` and a close frame, both with the mask 0.
  const std::string ping("\x81\x84\0\0\0\0ping", 10);
  const std::string bye("\x88\x80\0\0\0\0", 6);
  while (!Stopping()) {
    Client client(*this);
    bool ok =
        client.Connect() &&
        client.Ask("GET /ws",
                   "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") &&
        client.ReadAnswer();
    const int echoes = mix_.stream_ms / 100;
    for (int i = 0; ok && i < echoes && !Stopping(); ++i) {
      ok = client.Send(ping) && client.ReadExactly(6) && client.body.substr(2) == "ping";
      Pause(100);
    }
    ok = ok && client.Send(bye) && client.ReadExactly(2);
    Count(kind, ok, client.why);
  }
}

void MixedLoad::Silent(const std::string& kind) {
  while (!Stopping()) {
    Client client(*this);
    bool ok = client.Connect();
    for (int i = 0; ok && i < 15 && !Stopping() && !client.ClosedByServer(); ++i) Pause(100);
    // nginx may end a connection on which nothing was ever asked, as any server may.
    if (ok && client.ClosedByServer()) {
      CountClosed(kind, /*raced=*/false);
      continue;
    }
    ok = ok && client.Ask("GET /", "Connection: close\r\n") && client.ReadAnswer();
    if (!ok && !client.any_byte()) {
      CountClosed(kind, /*raced=*/true);
      ok = client.Connect() && client.Ask("GET /", "Connection: close\r\n") && client.ReadAnswer();
    }
    Count(kind, ok, client.why);
  }
}

std::map<std::string, Counts> MixedLoad::Results() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

Counts MixedLoad::Total() const {
  Counts total;
  for (const auto& [kind, counts] : Results()) {
    total.requests += counts.requests;
    total.failed += counts.failed;
    total.closed += counts.closed;
    total.raced += counts.raced;
    if (total.first_failure.empty() && !counts.first_failure.empty()) {
      total.first_failure = kind + ": " + counts.first_failure;
    }
  }
  return total;
}

std::map<std::string, uint64_t> MixedLoad::Versions() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return versions_;
}

}  // namespace slipway::load
