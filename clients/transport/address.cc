#include "clients/transport/address.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "common/status.h"

namespace slipway {
namespace {

constexpr uint16_t kSshPort = 22;
constexpr uint16_t kTlsPort = 9781;
constexpr uint16_t kHttpsPort = 443;
constexpr size_t kLongestHost = 253;
constexpr size_t kLongestUser = 32;
// sizeof(sockaddr_un::sun_path) - 1, here and on any other Linux.
constexpr size_t kLongestPath = 107;

absl::Status Bad(absl::string_view text, absl::string_view problem) {
  std::string shown(text.substr(0, 200));
  for (char& c : shown) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
               absl::StrCat("'", shown, "' is no address: ", problem),
               "write unix:///run/slipway/controller.sock, ssh://USER@HOST:PORT or "
               "ssh://USER@HOST:PORT/run/slipway/controller.sock, or tls://HOST:PORT");
}

bool AllOf(absl::string_view text, absl::string_view punctuation) {
  return std::all_of(text.begin(), text.end(), [punctuation](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(punctuation, c);
  });
}

bool IsUser(absl::string_view text) {
  return !text.empty() && text.size() <= kLongestUser && text.front() != '-' && AllOf(text, "._-");
}

bool IsHost(absl::string_view text) {
  return !text.empty() && text.size() <= kLongestHost && text.front() != '-' &&
         text.front() != '.' && AllOf(text, ".-");
}

bool IsSixthVersion(absl::string_view text) {
  return !text.empty() && text.size() <= 45 && absl::StrContains(text, ':') &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
         });
}

// What is wrong with it; empty when nothing is.
std::string PathProblem(absl::string_view path) {
  if (path.empty() || path.front() != '/') return "the socket's path does not begin with /";
  if (path.size() > kLongestPath) return "the socket's path has more than 107 bytes";
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  return plain ? "" : "the socket's path has control characters";
}

// HOST, HOST:PORT, [V6], [V6]:PORT into `address`; what is wrong otherwise.
std::string ParseHostAndPort(absl::string_view text, Address& address) {
  absl::string_view port;
  bool has_port = false;
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return "a [ without its ]";
    address.host = std::string(text.substr(0, end));
    text.remove_prefix(end + 1);
    has_port = absl::ConsumePrefix(&text, ":");
    if (!has_port && !text.empty()) return "after ] there may be only a port";
    port = text;
    if (!IsSixthVersion(address.host)) return "what stands in [ ] is no IPv6 address";
  } else {
    const size_t colon = text.find(':');
    has_port = colon != absl::string_view::npos;
    address.host = std::string(text.substr(0, colon));
    if (has_port) port = text.substr(colon + 1);
    if (!IsHost(address.host)) return "the host is no name or IP address";
  }
  if (!has_port) return "";
  uint32_t number = 0;
  const bool digits = std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(port, &number) || number == 0 || number > 65535) {
    return "the port is no number from 1 to 65535";
  }
  address.port = static_cast<uint16_t>(number);
  return "";
}

}  // namespace

absl::StatusOr<Address> ParseAddress(absl::string_view text, Peer peer) {
  absl::string_view rest = text;
  Address address;
  if (absl::ConsumePrefix(&rest, "unix://")) {
    if (const std::string problem = PathProblem(rest); !problem.empty()) return Bad(text, problem);
    address.path = std::string(rest);
    return address;
  }
  if (absl::ConsumePrefix(&rest, "ssh://")) {
    address.scheme = Scheme::kSsh;
    address.port = kSshPort;
    address.path =
        peer == Peer::kController ? "/run/slipway/controller.sock" : "/run/slipway/executor.sock";
    if (const size_t slash = rest.find('/'); slash != absl::string_view::npos) {
      if (slash + 1 < rest.size()) address.path = std::string(rest.substr(slash));
      rest = rest.substr(0, slash);
    }
    if (const std::string problem = PathProblem(address.path); !problem.empty()) {
      return Bad(text, problem);
    }
    if (const size_t at = rest.find('@'); at != absl::string_view::npos) {
      address.user = std::string(rest.substr(0, at));
      rest.remove_prefix(at + 1);
      if (!IsUser(address.user)) return Bad(text, "the user is no user's name");
    }
  } else if (absl::ConsumePrefix(&rest, "tls://")) {
    address.scheme = Scheme::kTls;
    address.port = kTlsPort;
    absl::ConsumeSuffix(&rest, "/");
  } else if (peer == Peer::kController && absl::ConsumePrefix(&rest, "https://")) {
    address.scheme = Scheme::kHttps;
    address.port = kHttpsPort;
    absl::ConsumeSuffix(&rest, "/");
  } else {
    return Bad(text, "it begins with none of unix://, ssh://, tls://, https://");
  }
  if (const std::string problem = ParseHostAndPort(rest, address); !problem.empty()) {
    return Bad(text, problem);
  }
  return address;
}

std::string ToString(const Address& address) {
  if (address.scheme == Scheme::kUnix) return absl::StrCat("unix://", address.path);
  const std::string host =
      absl::StrContains(address.host, ':') ? absl::StrCat("[", address.host, "]") : address.host;
  if (address.scheme == Scheme::kTls) return absl::StrCat("tls://", host, ":", address.port);
  if (address.scheme == Scheme::kHttps) return absl::StrCat("https://", host, ":", address.port);
  return absl::StrCat("ssh://", address.user, address.user.empty() ? "" : "@", host, ":",
                      address.port, address.path);
}

}  // namespace slipway
