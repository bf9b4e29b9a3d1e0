#include "clients/cli/interruption.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

enum class Mode { kHold, kLeave, kAct };

// What the signal handler may use: lock-free, and a pipe.
std::atomic<Mode> mode{Mode::kLeave};
std::atomic<int> signals{0};
std::atomic<int> wake{-1};
static_assert(std::atomic<Mode>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr char kSignal = 's';
constexpr char kEnd = 'e';

void Write(int descriptor, const char* text, size_t size) {
  [[maybe_unused]] const ssize_t wrote = write(descriptor, text, size);
}

[[noreturn]] void Leave() {
  const char* note = mode == Mode::kAct
                         ? "\nleft; `slipway watch` shows how the deployment ends\n"
                         : "\nleft; the deployment goes on. `slipway watch` shows it, "
                           "`slipway cancel` stops it\n";
  Write(STDERR_FILENO, note, std::strlen(note));
  _exit(kExitError);
}

void OnSignal(int) {
  if (signals.fetch_add(1) > 0 || mode == Mode::kLeave) Leave();
  if (mode == Mode::kAct) Write(wake, &kSignal, 1);
}

void Take(Mode next) {
  mode = next;
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
}

}  // namespace

void HoldInterruptions() { Take(Mode::kHold); }

void ObeyInterruptions() {
  Take(Mode::kLeave);
  if (signals > 0) Leave();
}

InterruptionHandler::InterruptionHandler(std::function<void()> act) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    // Without descriptors to spare there is nothing to see of a deployment either.
    ObeyInterruptions();
    return;
  }
  wake = ends[1];
  thread_ = std::thread([act = std::move(act), in = ends[0]] {
    bool acted = false;
    for (char got = 0; read(in, &got, 1) == 1 && got == kSignal;) {
      if (!std::exchange(acted, true)) act();
    }
    close(in);
  });
  Take(Mode::kAct);
  // A signal that comes now wakes it as well; once is enough for both.
  if (signals > 0) Write(wake, &kSignal, 1);
}

InterruptionHandler::~InterruptionHandler() {
  Take(Mode::kLeave);
  if (!thread_.joinable()) return;
  Write(wake, &kEnd, 1);
  thread_.join();
  close(wake.exchange(-1));
}

}  // namespace slipway::cli
