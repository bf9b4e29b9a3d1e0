// What nginx has loaded, asked of nginx itself.
#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "executor/drivers/http_client.h"
#include "executor/drivers/nginx.h"
#include "executor/drivers/nginx_diagnose.h"

namespace slipway::executor {
namespace {

constexpr std::chrono::milliseconds kFirstPause{2};
constexpr std::chrono::milliseconds kLongestPause{20};
constexpr std::chrono::seconds kAnswerTimeout{1};
constexpr std::chrono::milliseconds kAfterRefusal{500};

}  // namespace

// Each question is a fresh connection: a kept one would be answered by the worker that accepted it,
// old or new.
NginxDriver::PortAnswer NginxDriver::AskPort(const NginxSite& site, uint32_t port) {
  HttpRequest request;
  request.endpoint.address = options_.address;
  request.endpoint.port = port;
  request.timeout = kAnswerTimeout;
  request.max_body = 4096;
  const auto response = SendHttp(request);
  PortAnswer answer;
  if (absl::IsUnavailable(response.status())) {
    answer.kind = PortAnswer::Kind::kRefused;
  } else if (absl::IsDeadlineExceeded(response.status()) || absl::IsAborted(response.status())) {
    // Aborted: an old worker that was told to quit while our connection waited to be accepted. Ask
    // again.
    answer.kind = PortAnswer::Kind::kSilent;
  } else {
    answer.kind = PortAnswer::Kind::kStranger;
    if (response.ok() && response->status == 200) {
      if (auto proof = ParseProof(response->body); proof.ok() && proof->app == site.app) {
        answer.kind = PortAnswer::Kind::kOurs;
        answer.proof = *std::move(proof);
      }
    } else if (response.ok() && response->status == 503 &&
               response->body == PlaceholderAnswer(site.app)) {
      answer.kind = PortAnswer::Kind::kOurs;
      answer.proof.app = site.app;
    }
  }
  return answer;
}

// By the same bind that nginx will do. Connecting would miss a socket that is bound and listens on
// another backlog.
bool NginxDriver::PortIsFree(uint32_t port) const {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, options_.address.c_str(), &address.sin_addr) != 1) return false;
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
         listen(fd.get(), 1) == 0;
}

absl::StatusOr<LoadedConfig> NginxDriver::Loaded(const NginxSite& site) {
  const auto deadline = clock_.Now() + std::chrono::seconds(5);
  while (true) {
    LoadedConfig loaded;
    loaded.nginx_running = proc_.NginxMaster(options_.pid_file).ok();
    int ours = 0;
    int silent = 0;
    for (const uint32_t port : site.proof_ports) {
      const PortAnswer answer = AskPort(site, port);
      if (answer.kind == PortAnswer::Kind::kOurs) {
        ++ours;
        loaded.generation = answer.proof.generation;
        loaded.slot = answer.proof.slot;
        loaded.placeholder = answer.proof.generation == 0;
      } else if (answer.kind != PortAnswer::Kind::kRefused) {
        loaded.strange_ports.push_back(port);
        silent += answer.kind == PortAnswer::Kind::kSilent ? 1 : 0;
      }
    }
    // A reload is under way while both answer, or while one only accepts.
    if (ours == 1 && silent == 0) return loaded;
    if (ours == 0 && silent == 0) return loaded;
    if (clock_.Now() >= deadline) {
      if (ours == 1) return loaded;
      return absl::UnavailableError(
          ours == 2 ? "nginx answers for two generations at once; a reload does not come to its end"
                    : "something accepts connections on the proof ports and does not answer");
    }
    clock_.SleepFor(kLongestPause);
  }
}

std::vector<ProcessId> NginxDriver::ServingWorkers() const {
  std::vector<ProcessId> ids;
  const auto master = proc_.NginxMaster(options_.pid_file);
  if (!master.ok()) return ids;
  const auto workers = proc_.NginxWorkers(*master);
  if (!workers.ok()) return ids;
  for (const NginxWorker& worker : *workers) ids.push_back(worker.id);
  return ids;
}

bool NginxDriver::AllRetired(const std::vector<ProcessId>& workers) const {
  if (workers.empty()) return true;
  const auto master = proc_.NginxMaster(options_.pid_file);
  if (!master.ok()) return false;
  const auto now = proc_.NginxWorkers(*master);
  if (!now.ok()) return false;
  return std::none_of(now->begin(), now->end(), [&workers](const NginxWorker& worker) {
    return !worker.shutting_down && std::count(workers.begin(), workers.end(), worker.id) > 0;
  });
}

NginxDriver::Proof NginxDriver::WaitForProof(const NginxSite& site, const Expectation& expected) {
  const auto start = clock_.Now();
  auto deadline = start + options_.proof_deadline;
  bool refused = false;
  std::chrono::nanoseconds pause = kFirstPause;
  Proof proof;
  while (true) {
    bool new_half = expected.generation == 0 && !expected.placeholder;
    bool old_half = true;
    proof.missing.clear();
    for (const uint32_t port : site.proof_ports) {
      const PortAnswer answer = AskPort(site, port);
      const bool asked_for = expected.generation != 0 || expected.placeholder;
      if (asked_for && port == site.ProofPort(expected.generation)) {
        new_half = answer.kind == PortAnswer::Kind::kOurs &&
                   answer.proof.generation == expected.generation &&
                   answer.proof.slot == expected.slot;
        if (!new_half)
          absl::StrAppend(&proof.missing, "port ", port, " does not answer generation ",
                          expected.generation, "; ");
      } else {
        // A stranger's answer is as good as a refusal here: the port is not our workers'.
        // So is the placeholder's, where nothing of ours is to serve.
        const bool placeholder = expected.generation == 0 &&
                                 answer.kind == PortAnswer::Kind::kOurs &&
                                 answer.proof.generation == 0;
        old_half &= answer.kind == PortAnswer::Kind::kRefused ||
                    answer.kind == PortAnswer::Kind::kStranger || placeholder;
        if (!old_half) absl::StrAppend(&proof.missing, "port ", port, " is still open; ");
      }
    }
    const auto elapsed = clock_.Now() - start;
    if (new_half && proof.first_answer.count() == 0) proof.first_answer = elapsed;
    const bool retired = new_half && old_half && AllRetired(expected.retired);
    if (retired) {
      proof.proven = true;
      proof.complete = clock_.Now() - start;
      return proof;
    }
    if (new_half && old_half) proof.missing = "workers from before the reload still accept";
    if (!refused && expected.log != nullptr && expected.log->SaysRefused()) {
      // Only somebody else's reload, under way already, can still bring it about.
      refused = true;
      deadline = std::min(deadline, clock_.Now() + kAfterRefusal);
    }
    if (clock_.Now() >= deadline) return proof;
    clock_.SleepFor(pause);
    pause = std::min<std::chrono::nanoseconds>(pause * 3 / 2, kLongestPause);
  }
}

}  // namespace slipway::executor
