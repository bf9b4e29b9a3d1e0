#include "executor/drivers/docker_engine.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

#include "common/status.h"
#include "executor/drivers/docker_json.h"
#include "executor/drivers/docker_stream.h"
#include "executor/drivers/evidence_text.h"
#include "executor/drivers/http_client.h"

namespace slipway::executor {
namespace {

// The API that everything here was written for.
constexpr int kApiMinor = 41;
constexpr std::chrono::hours kForever{24 * 365};
constexpr size_t kMaxExecOutput = 64 << 10;
// An inspect of a container with many mounts, a list of some thousand containers.
constexpr size_t kMaxAnswer = 32 << 20;

std::string Escape(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

std::string Filters(const DockerJson& filters) {
  return absl::StrCat("filters=", Escape(DumpDockerJson(filters)));
}

absl::Status ErrorOf(const HttpResponse& response) {
  std::string message;
  const auto json = ParseDockerJson(response.body);
  if (json.ok()) message = StringAt(*json, "message");
  if (message.empty()) message = absl::StrCat("status ", response.status);
  message = absl::StrCat("Docker: ", EvidenceText(message, 1024));
  switch (response.status) {
    case 400:
      return absl::InvalidArgumentError(message);
    case 404:
      return absl::NotFoundError(message);
    case 409:
      return absl::AlreadyExistsError(message);
    default:
      return absl::InternalError(message);
  }
}

// Keeps the meaning, says who.
absl::Status TransportError(const absl::Status& status) {
  if (absl::IsNotFound(status))
    return absl::UnavailableError(absl::StrCat("Docker: ", status.message()));
  return Annotate(status, "Docker");
}

}  // namespace

absl::StatusOr<std::string> DockerEngine::ChooseApi(absl::string_view oldest,
                                                    absl::string_view newest) {
  const auto minor = [](absl::string_view version) {
    int number = 0;
    const bool known = absl::ConsumePrefix(&version, "1.") && absl::SimpleAtoi(version, &number);
    return known ? number : 0;
  };
  // An Engine that does not say is older than both fields, or speaks what it always did.
  if (newest.empty()) return absl::StrCat("/v1.", kApiMinor);
  if (minor(newest) < kApiMinor) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "OLD_DOCKER",
        absl::StrCat("the Docker Engine speaks API ", newest, ", and 1.", kApiMinor, " is needed"),
        "install Docker Engine 20.10 or newer");
  }
  return absl::StrCat("/v1.", std::max(kApiMinor, minor(oldest)));
}

absl::StatusOr<std::string> DockerEngine::Api() {
  {
    MutexLock lock(mutex_);
    if (!api_.empty()) return api_;
  }
  HttpRequest request;
  request.endpoint.unix_socket = socket_;
  request.path = "/version";
  request.timeout = timeout_;
  request.max_body = kMaxAnswer;
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send(request));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  SLIPWAY_ASSIGN_OR_RETURN(
      std::string api, ChooseApi(StringAt(json, "MinAPIVersion"), StringAt(json, "ApiVersion")));
  MutexLock lock(mutex_);
  return api_ = std::move(api);
}

absl::StatusOr<HttpRequest> DockerEngine::MakeRequest(const std::string& method,
                                                      const std::string& path) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string api, Api());
  HttpRequest request;
  request.endpoint.unix_socket = socket_;
  request.method = method;
  request.path = absl::StrCat(api, path);
  request.timeout = timeout_;
  request.max_body = kMaxAnswer;
  return request;
}

absl::StatusOr<HttpResponse> DockerEngine::Send(const HttpRequest& request) {
  absl::StatusOr<HttpResponse> response = SendHttp(request);
  if (!response.ok()) return TransportError(response.status());
  if (response->status >= 400) return ErrorOf(*response);
  return response;
}

absl::StatusOr<HttpResponse> DockerEngine::Send(const std::string& method, const std::string& path,
                                                const std::string& json_body) {
  SLIPWAY_ASSIGN_OR_RETURN(HttpRequest request, MakeRequest(method, path));
  request.body = json_body;
  if (!json_body.empty()) request.headers["Content-Type"] = "application/json";
  return Send(request);
}

absl::StatusOr<std::string> DockerEngine::PathPart(const std::string& name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-' || c == ':' || c == '/' ||
           c == '@';
  });
  if (!plain || name.find("..") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", absl::CHexEscape(name), "' is not a name of Docker's"));
  }
  return name;
}

absl::Status DockerEngine::Ping() { return Send("GET", "/_ping").status(); }

absl::StatusOr<std::string> DockerEngine::Version() {
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send("GET", "/version"));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  return EvidenceText(StringAt(json, "Version"), 64);
}

absl::StatusOr<std::vector<DockerContainer>> DockerEngine::List(const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(
      const HttpResponse response,
      Send("GET", absl::StrCat("/containers/json?all=1&", Filters(LabelFilter(labels)))));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  std::vector<DockerContainer> containers;
  for (const DockerJson& item : json) containers.push_back(ContainerFromList(item));
  return containers;
}

absl::StatusOr<DockerContainer> DockerEngine::Inspect(const std::string& id,
                                                      Cancellation* cancellation) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  SLIPWAY_ASSIGN_OR_RETURN(HttpRequest request,
                           MakeRequest("GET", absl::StrCat("/containers/", part, "/json")));
  request.cancellation = cancellation;
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send(request));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  return ContainerFromInspect(json);
}

absl::StatusOr<std::vector<DockerContainer>> DockerEngine::InspectAll(const DockerLabels& labels) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerContainer> listed, List(labels));
  std::vector<DockerContainer> containers;
  for (const DockerContainer& item : listed) {
    absl::StatusOr<DockerContainer> container = Inspect(item.id);
    if (absl::IsNotFound(container.status())) continue;
    if (!container.ok()) return container.status();
    containers.push_back(*std::move(container));
  }
  return containers;
}

absl::StatusOr<std::vector<DockerMount>> DockerEngine::Mounts() {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<DockerContainer> containers, List({}));
  std::vector<DockerMount> mounts;
  for (const DockerContainer& container : containers) {
    for (const std::string& source : container.binds) mounts.push_back({container.name, source});
  }
  return mounts;
}

absl::StatusOr<DockerContainer> DockerEngine::OwnerOfPort(uint32_t port) {
  const DockerJson filters{{"publish", {absl::StrCat(port, "/tcp")}}, {"status", {"running"}}};
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response,
                           Send("GET", absl::StrCat("/containers/json?", Filters(filters))));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  for (const DockerJson& item : json) {
    const DockerContainer container = ContainerFromList(item);
    for (const DockerPort& published : container.ports) {
      if (published.host_port == port) return Inspect(container.id);
    }
  }
  return absl::NotFoundError(absl::StrCat("no container publishes port ", port));
}

absl::Status DockerEngine::Start(const std::string& id) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  return Send("POST", absl::StrCat("/containers/", part, "/start")).status();
}

absl::Status DockerEngine::Stop(const std::string& id, std::chrono::seconds grace) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  SLIPWAY_ASSIGN_OR_RETURN(
      HttpRequest request,
      MakeRequest("POST", absl::StrCat("/containers/", part, "/stop?t=", grace.count())));
  request.timeout += grace;
  const absl::Status status = Send(request).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<int> DockerEngine::Wait(const std::string& id, Cancellation* cancellation) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  SLIPWAY_ASSIGN_OR_RETURN(HttpRequest request,
                           MakeRequest("POST", absl::StrCat("/containers/", part, "/wait")));
  request.timeout = kForever;
  request.cancellation = cancellation;
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse response, Send(request));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(response.body));
  return static_cast<int>(IntAt(json, "StatusCode"));
}

absl::Status DockerEngine::Remove(const std::string& id) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  const absl::Status status =
      Send("DELETE", absl::StrCat("/containers/", part, "?force=1&v=1")).status();
  if (!absl::IsAlreadyExists(status)) return absl::IsNotFound(status) ? absl::OkStatus() : status;
  // Somebody else removes it just now.
  const absl::Status gone =
      Send("POST", absl::StrCat("/containers/", part, "/wait?condition=removed")).status();
  return absl::IsNotFound(gone) ? absl::OkStatus() : gone;
}

absl::StatusOr<std::vector<std::string>> DockerEngine::Tail(const std::string& id, int lines) {
  std::vector<std::string> tail;
  SLIPWAY_RETURN_IF_ERROR(StreamLogs(id, false, lines, nullptr, [&tail](absl::string_view line) {
    tail.emplace_back(line);
    return true;
  }));
  // Docker counts the lines of each output apart.
  const size_t wanted = static_cast<size_t>(std::max(lines, 0));
  if (tail.size() > wanted) tail.erase(tail.begin(), tail.end() - static_cast<long>(wanted));
  return tail;
}

absl::Status DockerEngine::StreamLogs(const std::string& id, bool follow, int tail,
                                      Cancellation* cancellation, const LineSink& sink) {
  SLIPWAY_ASSIGN_OR_RETURN(const DockerContainer container, Inspect(id));
  SLIPWAY_ASSIGN_OR_RETURN(
      HttpRequest request,
      MakeRequest("GET", absl::StrCat("/containers/", container.id,
                                      "/logs?stdout=1&stderr=1&follow=", follow ? 1 : 0,
                                      "&tail=", tail < 0 ? "all" : absl::StrCat(tail))));
  if (follow) request.timeout = kForever;
  request.cancellation = cancellation;
  LineCutter lines(sink);
  DockerFrames frames(container.tty,
                      [&lines](absl::string_view piece) { return lines.Take(piece); });
  bool stopped = false;
  request.on_body = [&frames, &stopped](absl::string_view piece) {
    stopped = !frames.Take(piece);
    return !stopped;
  };
  SLIPWAY_RETURN_IF_ERROR(Send(request).status());
  if (!stopped) lines.Finish();
  return absl::OkStatus();
}

absl::StatusOr<ExecResult> DockerEngine::Exec(const std::string& id,
                                              const std::vector<std::string>& argv,
                                              std::chrono::nanoseconds timeout) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::string part, PathPart(id));
  const DockerJson create{{"AttachStdout", true}, {"AttachStderr", true}, {"Cmd", argv}};
  SLIPWAY_ASSIGN_OR_RETURN(
      const HttpResponse created,
      Send("POST", absl::StrCat("/containers/", part, "/exec"), DumpDockerJson(create)));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson created_json, ParseDockerJson(created.body));
  SLIPWAY_ASSIGN_OR_RETURN(const std::string exec, PathPart(StringAt(created_json, "Id")));
  ExecResult result;
  DockerFrames frames(false, [&result](absl::string_view piece) {
    absl::StrAppend(&result.output, piece.substr(0, kMaxExecOutput - result.output.size()));
    return true;
  });
  SLIPWAY_ASSIGN_OR_RETURN(HttpRequest start,
                           MakeRequest("POST", absl::StrCat("/exec/", exec, "/start")));
  start.body = R"({"Detach":false,"Tty":false})";
  start.headers["Content-Type"] = "application/json";
  start.timeout = timeout;
  start.on_body = [&frames](absl::string_view piece) { return frames.Take(piece); };
  SLIPWAY_RETURN_IF_ERROR(Send(start).status());
  SLIPWAY_ASSIGN_OR_RETURN(const HttpResponse inspected,
                           Send("GET", absl::StrCat("/exec/", exec, "/json")));
  SLIPWAY_ASSIGN_OR_RETURN(const DockerJson json, ParseDockerJson(inspected.body));
  if (BoolAt(json, "Running"))
    return absl::InternalError("Docker: the command's output ended before it did");
  result.exit_code = static_cast<int>(IntAt(json, "ExitCode"));
  return result;
}

absl::Status DockerEngine::Events(const DockerLabels& labels, int64_t since,
                                  Cancellation* cancellation,
                                  const std::function<void()>& on_connected,
                                  const std::function<bool(const DockerEvent&)>& sink) {
  DockerJson filters = LabelFilter(labels);
  filters["type"] = {"container"};
  SLIPWAY_ASSIGN_OR_RETURN(
      HttpRequest request,
      MakeRequest("GET", absl::StrCat("/events?", Filters(filters),
                                      since == 0 ? "" : absl::StrCat("&since=", since))));
  request.timeout = kForever;
  request.cancellation = cancellation;
  request.on_head = on_connected;
  LineCutter lines([&sink](absl::string_view line) {
    const auto json = ParseDockerJson(line);
    return !json.ok() || sink(EventFromJson(*json));
  });
  request.on_body = [&lines](absl::string_view piece) { return lines.Take(piece); };
  return Send(request).status();
}

}  // namespace slipway::executor
