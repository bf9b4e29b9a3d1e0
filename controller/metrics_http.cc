#include "controller/metrics_http.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include <httplib.h>
#include <openssl/crypto.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/unix_socket.h"

namespace slipway::controller {
namespace {

absl::StatusOr<std::string> ReadToken(const std::filesystem::path& file) {
  const auto bad = [&file](absl::string_view what) {
    return Error(absl::StatusCode::kFailedPrecondition, "BAD_TOKEN_FILE",
                 absl::StrCat("metrics_token_file: ", file.string(), " ", what),
                 "let it hold one line, and its owner alone read it (chmod 600)");
  };
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return bad("cannot be read");
  if ((info.st_mode & 077) != 0) return bad("may be read by others than its owner");
  auto text = ReadFile(file);
  if (!text.ok()) return bad("cannot be read");
  std::string token(absl::StripAsciiWhitespace(*text));
  if (token.empty()) return bad("is empty");
  return token;
}

// Digests are compared, so that neither time nor length says anything of the token.
bool Same(absl::string_view a, absl::string_view b) {
  const std::string left = Sha256Of(a);
  const std::string right = Sha256Of(b);
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace

struct MetricsHttp::Impl {
  explicit Impl(MetricsHttpOptions given) : options(std::move(given)) {}

  const MetricsHttpOptions options;
  httplib::Server server;
  std::thread thread;
  int port = 0;

  // Empty when this request may see the page, else why not.
  std::string Refusal(const httplib::Request& request) const {
    if (options.token_file.empty()) return "";
    const auto token = ReadToken(options.token_file);
    if (!token.ok()) {
      LogError("nobody can read the metrics", {{"problem", std::string(token.status().message())}});
      return DetailOf(token.status()).reason();
    }
    const std::string header = request.get_header_value("Authorization");
    absl::string_view shown = header;
    if (!absl::ConsumePrefix(&shown, "Bearer ")) return "NO_TOKEN";
    return Same(shown, *token) ? "" : "BAD_TOKEN";
  }

  void Serve() {
    // One scraper and one person looking need two; the others are for clients that read or write slowly, of whom none has one for
    // long.
    server.new_task_queue = [] { return new httplib::ThreadPool(16); };
    server.set_read_timeout(std::chrono::seconds(2));
    server.set_write_timeout(std::chrono::seconds(5));
    server.set_keep_alive_max_count(100);
    server.set_keep_alive_timeout(2);
    // The library would share the port with whoever else of this user listens there.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server.Get("/metrics", [this](const httplib::Request& request, httplib::Response& response) {
      if (const std::string refusal = Refusal(request); !refusal.empty()) {
        if (options.refused) options.refused(refusal);
        response.status = 401;
        response.set_header("WWW-Authenticate", "Bearer realm=\"metrics\"");
        return;
      }
      response.set_content(options.page(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
  }

  absl::Status Listen() {
    absl::string_view path = options.address;
    if (absl::ConsumePrefix(&path, "unix://")) return ListenOnSocket(std::string(path));
    const size_t colon = options.address.rfind(':');
    if (colon == std::string::npos || !absl::SimpleAtoi(options.address.substr(colon + 1), &port)) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
                   absl::StrCat("metrics_address: '", options.address,
                                "' is neither HOST:PORT nor unix://"));
    }
    const std::string host = options.address.substr(0, colon);
    const bool bound = port == 0 ? (port = server.bind_to_any_port(host.c_str())) > 0
                                 : server.bind_to_port(host.c_str(), port);
    return bound ? absl::OkStatus() : CannotListen();
  }

  absl::Status ListenOnSocket(const std::string& path) {
    SLIPWAY_RETURN_IF_ERROR(PrepareSocket(path));
    server.set_address_family(AF_UNIX);
    const SocketMode mode(0660);
    // The library wants a port here too, and does nothing with it.
    return server.bind_to_port(path, 1) ? absl::OkStatus() : CannotListen();
  }

  absl::Status CannotListen() const {
    return Error(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                 absl::StrCat("cannot listen on ", options.address, " for metrics"),
                 "set metrics_address to a free one, or to `off`");
  }
};

MetricsHttp::MetricsHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(MetricsHttpOptions options) {
  if (!options.token_file.empty()) {
    SLIPWAY_RETURN_IF_ERROR(ReadToken(options.token_file).status());
  }
  auto impl = std::make_unique<Impl>(std::move(options));
  impl->Serve();
  SLIPWAY_RETURN_IF_ERROR(impl->Listen());
  impl->thread = std::thread([raw = impl.get()] { raw->server.listen_after_bind(); });
  // This library has no event for it, and a stop before its loop has begun would be lost.
  while (!impl->server.is_running()) std::this_thread::yield();
  return std::unique_ptr<MetricsHttp>(new MetricsHttp(std::move(impl)));
}

MetricsHttp::~MetricsHttp() {
  impl_->server.stop();
  impl_->thread.join();
}

int MetricsHttp::Port() const { return impl_->port; }

}  // namespace slipway::controller
