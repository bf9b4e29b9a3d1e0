#include "executor/drivers/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/drivers/http_message.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_server.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::TinyServer;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

HttpRequest To(const TinyServer& server) {
  HttpRequest request;
  request.endpoint.port = server.port();
  return request;
}

TinyServer::Handler Raw(std::string text) {
  return [text = std::move(text)](const std::string&) {
    return TinyServer::Answer{0, "", "", text};
  };
}

// Parses an answer in pieces of every size; all must agree.
absl::StatusOr<HttpResponse> ParseInPieces(const std::string& text) {
  absl::StatusOr<HttpResponse> result = absl::UnknownError("never");
  for (size_t size = text.size(); size > 0; --size) {
    HttpResponseParser parser(false, nullptr);
    absl::Status status;
    for (size_t i = 0; i < text.size() && status.ok(); i += size) {
      status = parser.Take(absl::string_view(text).substr(i, size));
    }
    if (status.ok()) status = parser.End();
    absl::StatusOr<HttpResponse> now =
        status.ok() ? absl::StatusOr<HttpResponse>(parser.response()) : status;
    if (size < text.size()) {
      EXPECT_EQ(now.status().code(), result.status().code()) << size;
      if (now.ok() && result.ok()) {
        EXPECT_EQ(now->body, result->body);
      }
    }
    result = now;
  }
  return result;
}

TEST(HttpClient, SendsWhatWasAskedAndReadsTheAnswer) {
  std::string head;
  TinyServer server("127.0.0.1", 0, [&head](const std::string& text) {
    head = text;
    return TinyServer::Answer{503, "busy", "X-Slot: Blue\r\n", ""};
  });
  HttpRequest request = To(server);
  request.path = "/health?a=b";
  request.host = "gifty.example";
  request.headers = {{"X-Probe", "1"}};
  const auto response = SendHttp(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->body, "busy");
  EXPECT_EQ(response->headers.at("x-slot"), "Blue");
  EXPECT_THAT(head, HasSubstr("GET /health?a=b HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Host: gifty.example\r\n"));
  EXPECT_THAT(head, HasSubstr("X-Probe: 1\r\n"));
}

TEST(HttpClient, TellsRefusedFromEverythingElse) {
  HttpRequest request;
  {
    const TinyServer server("127.0.0.1", 0,
                            [](const std::string&) { return TinyServer::Answer{}; });
    request = To(server);
  }
  EXPECT_TRUE(absl::IsUnavailable(SendHttp(request).status()));
  const TinyServer hangs_up("127.0.0.1", 0,
                            Raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
  EXPECT_TRUE(absl::IsAborted(SendHttp(To(hangs_up)).status()));
  const TinyServer speaks_otherwise("127.0.0.1", 0, Raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
  EXPECT_TRUE(absl::IsInternal(SendHttp(To(speaks_otherwise)).status()));
  request.endpoint.address = "example.com";
  EXPECT_TRUE(absl::IsInvalidArgument(SendHttp(request).status()));
}

TEST(HttpClient, BoundsTheWholeCallAndNotEachRead) {
  TinyServer drips("127.0.0.1", 0, [](const std::string&) {
    return TinyServer::Answer{0, "", "", "HTTP/1.1 200 OK\r\n\r\n" + std::string(2000, 'x'), true};
  });
  HttpRequest request = To(drips);
  request.timeout = milliseconds(150);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(SendHttp(request).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(1));
}

TEST(HttpClient, StopsPromptlyWhenCancelled) {
  std::atomic<bool> stop{false};
  Cancellation cancellation;
  TinyServer silent("127.0.0.1", 0, [&](const std::string&) {
    cancellation.Cancel();
    while (!stop.load()) std::this_thread::sleep_for(milliseconds(2));
    return TinyServer::Answer{};
  });
  HttpRequest request = To(silent);
  request.cancellation = &cancellation;
  EXPECT_TRUE(absl::IsCancelled(SendHttp(request).status()));
  stop.store(true);
}

TEST(HttpClient, SpeaksOverAUnixSocket) {
  const slipway::testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "socket").string();
  HttpRequest request;
  request.endpoint.unix_socket = path;
  EXPECT_TRUE(absl::IsNotFound(SendHttp(request).status()));
  const TinyServer server(path, [](const std::string&) {
    return TinyServer::Answer{200, "hello", "", ""};
  });
  EXPECT_EQ(SendHttp(request)->body, "hello");
}

TEST(HttpClient, StreamsABodyUntilTheSinkHasEnough) {
  const TinyServer server("127.0.0.1", 0,
                          Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                              "chunked\r\n\r\n3\r\none\r\n5\r\n, two\r\n0\r\n\r\n"));
  HttpRequest request = To(server);
  std::string all;
  request.on_body = [&all](absl::string_view piece) {
    absl::StrAppend(&all, piece);
    return true;
  };
  EXPECT_TRUE(SendHttp(request).ok());
  EXPECT_EQ(all, "one, two");
  all.clear();
  request.on_body = [&all](absl::string_view piece) {
    absl::StrAppend(&all, piece);
    return false;
  };
  EXPECT_TRUE(SendHttp(request).ok());
  EXPECT_EQ(all, "one");
}

TEST(HttpClient, RefusesABodyThatIsTooLong) {
  const TinyServer server("127.0.0.1", 0, [](const std::string&) {
    return TinyServer::Answer{200, std::string(100'000, 'x'), "", ""};
  });
  HttpRequest request = To(server);
  request.max_body = 1000;
  EXPECT_TRUE(absl::IsInternal(SendHttp(request).status()));
}

TEST(HttpClient, SendsNothingThatWouldBreakTheProtocol) {
  HttpRequest request;
  for (const std::string bad : {"/a b", "/a\r\nX: y", ""}) {
    request.path = bad;
    EXPECT_TRUE(absl::IsInvalidArgument(FormatHttpRequest(request).status())) << bad;
  }
  request.path = "/";
  request.host = "a\r\nX-Evil: 1";
  EXPECT_TRUE(absl::IsInvalidArgument(FormatHttpRequest(request).status()));
}

TEST(HttpMessage, ReadsEachKindOfBodyHoweverItIsCut) {
  EXPECT_EQ(ParseInPieces("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")->body, "abc");
  EXPECT_EQ(ParseInPieces("HTTP/1.1 200 OK\r\n\r\nuntil the end")->body, "until the end");
  EXPECT_EQ(ParseInPieces("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                          "chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: v\r\n\r\n")
                ->body,
            "abcd");
  EXPECT_EQ(ParseInPieces("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")->status,
            204);
  EXPECT_EQ(ParseInPieces("HTTP/1.0 200\n\nx")->body, "x");
}

TEST(HttpMessage, RefusesGarbage) {
  for (const std::string bad :
       {"\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 999999 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK"}) {
    EXPECT_FALSE(ParseInPieces(bad).ok()) << bad;
  }
  HttpResponseParser parser(false, nullptr);
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = parser.Take(std::string(1000, 'x'));
  EXPECT_TRUE(absl::IsInternal(status));
}

TEST(HttpUrl, TakesAddressPortAndPathApart) {
  std::string path;
  const auto plain = ParseHttpUrl("http://127.0.0.1/health?x", &path);
  EXPECT_EQ(plain->port, 80u);
  EXPECT_EQ(path, "/health?x");
  const auto tls = ParseHttpUrl("https://[::1]:8443", &path);
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->address, "::1");
  EXPECT_EQ(tls->port, 8443u);
  EXPECT_EQ(path, "/");
  for (const std::string bad : {"ftp://x/", "http://", "http://1.2.3.4:x/", "http://1.2.3.4:99999/",
                                "http://[::1/", "127.0.0.1"}) {
    EXPECT_FALSE(ParseHttpUrl(bad, &path).ok()) << bad;
  }
}

TEST(TryTcp, IsNotFooledByAProxyThatAcceptsAndHangsUp) {
  // Accepts, and ends the connection before a byte is said, as docker-proxy does when nobody
  // listens behind it.
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(name);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size);
  HttpEndpoint endpoint;
  endpoint.port = ntohs(name.sin_port);
  std::thread proxy([&] { close(accept(listener.get(), nullptr, nullptr)); });
  EXPECT_TRUE(absl::IsAborted(TryTcp(endpoint, seconds(1), milliseconds(500), nullptr)));
  proxy.join();
}

TEST(TryTcp, WantsAConnectionThatStaysOpen) {
  HttpEndpoint endpoint;
  {
    const TinyServer open("127.0.0.1", 0, [](const std::string&) { return TinyServer::Answer{}; });
    endpoint.port = open.port();
    EXPECT_TRUE(TryTcp(endpoint, seconds(1), milliseconds(20), nullptr).ok());
  }
  EXPECT_TRUE(absl::IsUnavailable(TryTcp(endpoint, seconds(1), milliseconds(20), nullptr)));
}

}  // namespace
}  // namespace slipway::executor
