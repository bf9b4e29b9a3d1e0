// The example application: a small web server in one static binary, so that its image is built from
// nothing. It has what a deployment must survive: slow answers, uploads, streams, websockets, and
// versions that misbehave on purpose.
//
//   GET  /            "hello from VERSION"
//   GET  /health      {"status":"ok"} once it is ready, {"status":"warming"} before
//   GET  /slow?ms=N   answers after N milliseconds
//   POST /upload      reads the body, answers its size
//   GET  /stream?ms=N a line every 100 ms for N milliseconds, then "end"
//   GET  /ws          a websocket that echoes
//
// Settings, from the environment:
//
//   HELLO_VERSION               what it calls itself (dev)
//   HELLO_READY_AFTER_MS        how long it warms up (0)
//   HELLO_BROKEN=1              /health answers 503 for ever
//   HELLO_FLAPPING=1            every other answer of /health is a 503
//   HELLO_DIE_AFTER_REQUESTS=N  exits in answering the Nth request for /
//   HELLO_EXIT_AFTER_MS=N       exits with 7 after N milliseconds
//   HELLO_MIGRATE_EXIT          exit code of `hello migrate` (0)
//   HELLO_LOG_LINES=N           lines of 200 letters that it prints first (0)
//   PORT                        8000
//
// `hello worker` prints its version and waits, `hello check PATH` asks the server beside it.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

const steady_clock::time_point kStart = steady_clock::now();
std::atomic<long> root_requests{0};
std::atomic<long> health_requests{0};

std::string Setting(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? fallback : value;
}
long Number(const std::string& text) { return std::strtol(text.c_str(), nullptr, 10); }

bool SendAll(int fd, const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t got = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (got <= 0) return false;
    sent += static_cast<size_t>(got);
  }
  return true;
}

bool Answer(int fd, const std::string& status, const std::string& body,
            const std::string& type = "text/plain") {
  return SendAll(fd, "HTTP/1.1 " + status + "\r\nContent-Type: " + type +
                         "\r\nContent-Length: " + std::to_string(body.size()) +
                         "\r\nX-Version: " + Setting("HELLO_VERSION", "dev") + "\r\n\r\n" + body);
}

// SHA-1 and base64, for nothing but the websocket handshake (RFC 6455).
std::array<uint8_t, 20> Sha1(std::string text) {
  uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  const uint64_t bits = text.size() * 8;
  text += static_cast<char>(0x80);
  while (text.size() % 64 != 56) text += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bits >> shift);
  const auto rotate = [](uint32_t value, int by) { return (value << by) | (value >> (32 - by)); };
  for (size_t block = 0; block < text.size(); block += 64) {
    uint32_t w[80];
    for (size_t i = 0; i < 16; ++i) {
      w[i] = 0;
      for (size_t k = 0; k < 4; ++k)
        w[i] = w[i] << 8 | static_cast<uint8_t>(text[block + i * 4 + k]);
    }
    for (int i = 16; i < 80; ++i) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; ++i) {
      const uint32_t f = i < 20   ? (b & c) | (~b & d)
                         : i < 40 ? b ^ c ^ d
                         : i < 60 ? (b & c) | (b & d) | (c & d)
                                  : b ^ c ^ d;
      const uint32_t k = i < 20   ? 0x5A827999
                         : i < 40 ? 0x6ED9EBA1
                         : i < 60 ? 0x8F1BBCDC
                                  : 0xCA62C1D6;
      const uint32_t next = rotate(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  std::array<uint8_t, 20> digest{};
  for (size_t i = 0; i < 20; ++i) digest[i] = static_cast<uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string Base64(const std::array<uint8_t, 20>& bytes) {
  static const char* const digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t group = static_cast<uint32_t>(bytes[i] << 16) |
                           static_cast<uint32_t>(i + 1 < 20 ? bytes[i + 1] << 8 : 0) |
                           (i + 2 < 20 ? bytes[i + 2] : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > 20 ? '=' : digits[group >> (18 - 6 * k) & 63];
  }
  return text;
}

struct Request {
  std::string method;
  std::string path;
  std::string query;
  std::string head;
  std::string rest;  // bytes read after the head

  std::string Header(const std::string& name) const {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
    const size_t at = lower.find("\r\n" + name + ":");
    if (at == std::string::npos) return "";
    const size_t start = head.find_first_not_of(' ', at + name.size() + 3);
    return head.substr(start, head.find("\r\n", start) - start);
  }
  long Query(const std::string& name, long fallback) const {
    const size_t at = query.find(name + "=");
    return at == std::string::npos ? fallback : Number(query.substr(at + name.size() + 1));
  }
};

bool ReadRequest(int fd, std::string& buffer, Request& request) {
  std::array<char, 16384> chunk;
  size_t end;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
    if (got <= 0 || buffer.size() > 65536) return false;
    buffer.append(chunk.data(), static_cast<size_t>(got));
  }
  request.head = buffer.substr(0, end + 2);
  request.rest = buffer.substr(end + 4);
  buffer.clear();
  const size_t space = request.head.find(' ');
  const size_t second = request.head.find(' ', space + 1);
  if (space == std::string::npos || second == std::string::npos) return false;
  request.method = request.head.substr(0, space);
  request.path = request.head.substr(space + 1, second - space - 1);
  const size_t mark = request.path.find('?');
  if (mark != std::string::npos) {
    request.query = request.path.substr(mark + 1);
    request.path.resize(mark);
  }
  return true;
}

// Reads what the head announced; answers how many bytes came.
long ReadBody(int fd, const Request& request, std::string& buffer) {
  const long length = Number(request.Header("content-length"));
  long got_in_all = static_cast<long>(request.rest.size());
  if (got_in_all > length) buffer = request.rest.substr(static_cast<size_t>(length));
  std::array<char, 65536> chunk;
  while (got_in_all < length) {
    const ssize_t got =
        recv(fd, chunk.data(),
             std::min<size_t>(chunk.size(), static_cast<size_t>(length - got_in_all)), 0);
    if (got <= 0) return -1;
    got_in_all += got;
  }
  return std::min(got_in_all, length);
}

bool Stream(int fd, long total_ms) {
  if (!SendAll(fd,
               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
               "X-Accel-Buffering: no\r\n\r\n")) {
    return false;
  }
  const auto end = steady_clock::now() + milliseconds(total_ms);
  while (steady_clock::now() < end) {
    if (!SendAll(fd, "5\r\ntick\n\r\n")) return false;
    std::this_thread::sleep_for(milliseconds(100));
  }
  return SendAll(fd, "4\r\nend\n\r\n0\r\n\r\n");
}

// Echoes frames of at most 125 bytes until the peer closes.
void WebSocket(int fd, const Request& request) {
  const std::string accept =
      Base64(Sha1(request.Header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
  if (!SendAll(fd,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: " +
                   accept + "\r\n\r\n")) {
    return;
  }
  std::string input = request.rest;
  std::array<char, 4096> chunk;
  while (true) {
    while (input.size() >= 6) {
      const size_t length = static_cast<uint8_t>(input[1]) & 0x7F;
      if (length > 125 || input.size() < 6 + length) break;
      std::string payload = input.substr(6, length);
      for (size_t i = 0; i < length; ++i)
        payload[i] = static_cast<char>(payload[i] ^ input[2 + i % 4]);
      const uint8_t opcode = static_cast<uint8_t>(input[0]) & 0x0F;
      std::string frame = {static_cast<char>(0x80 | opcode), static_cast<char>(length)};
      if (!SendAll(fd, frame + payload) || opcode == 8) return;
      input.erase(0, 6 + length);
    }
    const ssize_t got = recv(fd, chunk.data(), chunk.size(), 0);
    if (got <= 0) return;
    input.append(chunk.data(), static_cast<size_t>(got));
  }
}

bool AnswerHealth(int fd) {
  const bool flaps = Setting("HELLO_FLAPPING", "0") == "1" && ++health_requests % 2 == 0;
  if (flaps || Setting("HELLO_BROKEN", "0") == "1")
    return Answer(fd, "503 Service Unavailable", "{\"status\":\"broken\"}", "application/json");
  const bool ready =
      steady_clock::now() - kStart >= milliseconds(Number(Setting("HELLO_READY_AFTER_MS", "0")));
  return Answer(fd, "200 OK", ready ? "{\"status\":\"ok\"}" : "{\"status\":\"warming\"}",
                "application/json");
}

bool AnswerRoot(int fd) {
  const long fatal = Number(Setting("HELLO_DIE_AFTER_REQUESTS", "0"));
  if (++root_requests == fatal) {
    std::fprintf(stderr, "hello: fatal: the version is built to die here\n");
    std::_Exit(3);
  }
  return Answer(fd, "200 OK", "hello from " + Setting("HELLO_VERSION", "dev") + "\n");
}

void Serve(int fd) {
  std::string buffer;
  Request request;
  bool open = true;
  while (open && ReadRequest(fd, buffer, request)) {
    const bool last = request.Header("connection") == "close";
    if (request.path == "/ws") {
      WebSocket(fd, request);
      break;
    }
    if (request.method == "POST") {
      const long size = ReadBody(fd, request, buffer);
      open = size >= 0 && Answer(fd, "200 OK", std::to_string(size) + "\n");
    } else if (request.path == "/health") {
      open = AnswerHealth(fd);
    } else if (request.path == "/slow") {
      std::this_thread::sleep_for(milliseconds(request.Query("ms", 2000)));
      open = Answer(fd, "200 OK", "slow\n");
    } else if (request.path == "/stream") {
      open = Stream(fd, request.Query("ms", 20000));
    } else if (request.path == "/") {
      open = AnswerRoot(fd);
    } else {
      open = Answer(fd, "404 Not Found", "no such page\n");
    }
    open = open && !last;
    request = {};
  }
  close(fd);
}

// Exit code 0 when the path answers 200: a health check in a container that has no shell.
int Check(const std::string& path, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return 1;
  SendAll(fd, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  std::array<char, 64> answer{};
  const ssize_t got = recv(fd, answer.data(), answer.size() - 1, 0);
  return got > 12 && std::strncmp(answer.data() + 9, "200", 3) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<uint16_t>(Number(Setting("PORT", "8000")));
  const std::string role = argc > 1 ? argv[1] : "serve";
  signal(SIGTERM, [](int) { std::_Exit(0); });
  if (role == "check") return Check(argc > 2 ? argv[2] : "/health", port);
  std::printf("hello: %s %s\n", role.c_str(), Setting("HELLO_VERSION", "dev").c_str());
  const std::string line(200, '.');
  for (long i = Number(Setting("HELLO_LOG_LINES", "0")); i > 0; --i) std::puts(line.c_str());
  std::fflush(stdout);
  if (role == "migrate") return static_cast<int>(Number(Setting("HELLO_MIGRATE_EXIT", "0")));
  if (role != "serve") {
    while (true) pause();
  }
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 1024) != 0) {
    std::perror("hello: listen");
    return 1;
  }
  if (const long ms = Number(Setting("HELLO_EXIT_AFTER_MS", "0")); ms > 0) {
    std::thread([ms] {
      std::this_thread::sleep_for(milliseconds(ms));
      std::_Exit(7);
    }).detach();
  }
  while (true) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::thread(Serve, fd).detach();
  }
}
