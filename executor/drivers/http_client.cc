#include "executor/drivers/http_client.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

#include "common/status.h"
#include "executor/drivers/http_connection.h"
#include "executor/drivers/http_message.h"

namespace slipway::executor {
namespace {

using SteadyClock = std::chrono::steady_clock;

SteadyClock::time_point After(std::chrono::nanoseconds time) {
  // A caller's "no limit" must not overflow.
  return SteadyClock::now() +
         std::min<std::chrono::nanoseconds>(time, std::chrono::hours(24 * 365));
}

}  // namespace

absl::StatusOr<HttpResponse> SendHttp(const HttpRequest& request) {
  const auto deadline = After(request.timeout);
  SLIPWAY_ASSIGN_OR_RETURN(const std::string text, FormatHttpRequest(request));
  HttpConnection connection(request.cancellation);
  SLIPWAY_RETURN_IF_ERROR(
      connection.Open(request.endpoint, std::min(deadline, After(request.connect_timeout))));
  // A server may answer and close before it has read everything; its answer counts more than our
  // broken pipe.
  const absl::Status written = connection.Write(text, deadline);
  if (!written.ok() && written.code() != absl::StatusCode::kAborted) return written;

  std::string body;
  bool too_long = false;
  const HttpResponseParser* state = nullptr;
  HttpResponseParser parser(request.method == "HEAD", [&](absl::string_view piece) {
    if (request.on_body && state->response().status / 100 == 2) return request.on_body(piece);
    absl::StrAppend(&body, piece);
    too_long = body.size() > request.max_body;
    return !too_long;
  });
  state = &parser;
  std::array<char, 16 << 10> buffer;
  bool told = false;
  while (!parser.done()) {
    SLIPWAY_ASSIGN_OR_RETURN(const size_t got,
                             connection.Read(buffer.data(), buffer.size(), deadline));
    SLIPWAY_RETURN_IF_ERROR(got == 0 ? parser.End() : parser.Take({buffer.data(), got}));
    if (request.on_head && !told && parser.has_head() && parser.response().status / 100 == 2) {
      told = true;
      request.on_head();
    }
  }
  if (too_long) {
    return absl::InternalError(absl::StrCat("an answer of more than ", request.max_body, " bytes"));
  }
  HttpResponse response = parser.response();
  response.body = std::move(body);
  return response;
}

absl::Status TryTcp(const HttpEndpoint& endpoint, std::chrono::nanoseconds timeout,
                    std::chrono::nanoseconds hold, Cancellation* cancellation) {
  HttpConnection connection(cancellation);
  SLIPWAY_RETURN_IF_ERROR(connection.Open(endpoint, After(timeout)));
  char byte = 0;
  const absl::StatusOr<size_t> got = connection.Read(&byte, 1, After(std::min(hold, timeout)));
  if (absl::IsDeadlineExceeded(got.status())) return absl::OkStatus();
  if (!got.ok()) return got.status();
  if (*got == 0) return absl::AbortedError("the connection was closed at once");
  return absl::OkStatus();
}

absl::StatusOr<HttpEndpoint> ParseHttpUrl(absl::string_view url, std::string* path) {
  const auto bad = [url] {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' is not http[s]://ADDRESS[:PORT]/PATH with a numeric address"));
  };
  HttpEndpoint endpoint;
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, "https://")) {
    endpoint.tls = true;
  } else if (!absl::ConsumePrefix(&rest, "http://")) {
    return bad();
  }
  endpoint.port = endpoint.tls ? 443 : 80;
  const size_t slash = rest.find('/');
  *path = slash == absl::string_view::npos ? "/" : std::string(rest.substr(slash));
  absl::string_view authority = rest.substr(0, slash);
  absl::string_view port;
  if (absl::ConsumePrefix(&authority, "[")) {
    const size_t end = authority.find(']');
    if (end == absl::string_view::npos) return bad();
    port = authority.substr(end + 1);
    authority = authority.substr(0, end);
  } else if (const size_t colon = authority.find(':'); colon != absl::string_view::npos) {
    port = authority.substr(colon);
    authority = authority.substr(0, colon);
  }
  if (!port.empty() && (!absl::ConsumePrefix(&port, ":") ||
                        !absl::SimpleAtoi(port, &endpoint.port) || endpoint.port > 65535)) {
    return bad();
  }
  endpoint.address = std::string(authority);
  if (endpoint.address.empty()) return bad();
  return endpoint;
}

}  // namespace slipway::executor
