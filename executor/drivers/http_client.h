// HTTP/1.1 over TCP, TLS and unix sockets: one request on one fresh connection. Used by health
// probes, the proof of the switch, the front door and the Docker Engine.
//
// Written here and not taken from cpp-httplib, which Debian ships as a shared library only (no
// static executor), hides whether a connection was refused (half of the proof of a switch), and
// bounds each read but not the whole call, so that an application that drips one byte a second
// could hold a health gate for ever.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"

namespace slipway::executor {

struct HttpEndpoint {
  // When set, the path of a unix socket, and the rest is ignored.
  std::string unix_socket;
  // A numeric IPv4 or IPv6 address, or localhost.
  std::string address = "127.0.0.1";
  uint32_t port = 80;
  // The certificate is *not* verified: TLS is spoken only to this host's own nginx on its own
  // address, where a stranger who could answer could also read our memory; and the site's
  // certificate may be for another name or just expiring.
  bool tls = false;
  // SNI.
  std::string server_name;
};

struct HttpRequest {
  HttpEndpoint endpoint;
  std::string method = "GET";
  // With the query, escaped by the caller.
  std::string path = "/";
  // Host header; default the address.
  std::string host;
  std::map<std::string, std::string> headers;
  std::string body;
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(2);
  // For everything, the connection included.
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);
  Cancellation* cancellation = nullptr;
  // Bytes kept in HttpResponse::body; a longer body is an error.
  size_t max_body = 4 << 20;
  // Called once when the head of a 2xx answer is there; may be empty.
  std::function<void()> on_head;
  // When set, the body of a 2xx answer goes here in pieces as it comes and is not kept. False ends
  // the call with success.
  std::function<bool(absl::string_view piece)> on_body;
};

struct HttpResponse {
  int status = 0;
  // Names in lower case; of repeated ones the last.
  std::map<std::string, std::string> headers;
  std::string body;
};

// Any complete answer is a result, whatever its status. Otherwise:
//   UNAVAILABLE       refused: nobody listens there (this and nothing else)
//   NOT_FOUND         no such unix socket
//   DEADLINE_EXCEEDED one of the time-outs
//   CANCELLED
//   ABORTED           the connection ended before the answer was complete
//   INVALID_ARGUMENT  an address that is not one, or a request that would break the protocol
//   INTERNAL          anything else, also an answer that is not HTTP
absl::StatusOr<HttpResponse> SendHttp(const HttpRequest& request);

// Connects and waits `hold` for the other side to hang up: docker-proxy accepts every connection
// and closes it at once when the application does not listen. OK when it is still open then, or has
// spoken. Statuses as above.
absl::Status TryTcp(const HttpEndpoint& endpoint, std::chrono::nanoseconds timeout,
                    std::chrono::nanoseconds hold, Cancellation* cancellation);

// http://ADDRESS[:PORT]/PATH or https://...; INVALID_ARGUMENT otherwise. `path` gets the rest, at
// least `/`.
absl::StatusOr<HttpEndpoint> ParseHttpUrl(absl::string_view url, std::string* path);

}  // namespace slipway::executor
