#include "clients/cli/interruption.h"

#include <atomic>
#include <csignal>
#include <unistd.h>

#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

// Both are used in a signal handler.
std::atomic<bool> holding{false};
std::atomic<int> signals{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

[[noreturn]] void Leave() {
  static const char note[] =
      "\nleft; the deployment goes on. `slipway watch` shows it, `slipway cancel` stops it\n";
  [[maybe_unused]] const ssize_t wrote = write(STDERR_FILENO, note, sizeof(note) - 1);
  _exit(kExitError);
}

void OnSignal(int) {
  if (signals.fetch_add(1) > 0 || !holding) Leave();
}

}  // namespace

void HoldInterruptions() {
  holding = true;
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
}

void ObeyInterruptions() {
  HoldInterruptions();
  holding = false;
  if (signals > 0) Leave();
}

}  // namespace slipway::cli
