// slipway-load ADDRESS PORT HOST [SECONDS [STREAM-MS [PAUSE-MS]]]: mixed load until SIGTERM, SIGINT
// or the time is over; then a table of counts. A stream lasts 3 s unless told otherwise, a slow
// request 2 s but no longer than a stream. PAUSE-MS (10) is between two requests of one client; when
// it is given, there are half as many clients. The first failure is printed when it is seen. Exit
// code 1 when a request failed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <signal.h>
#include <string>

#include "tests/support/load/load.h"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: slipway-load ADDRESS PORT HOST [SECONDS, at most 3600 [STREAM-MS "
                 "[PAUSE-MS]]]\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  slipway::load::Mix mix;
  mix.stream_ms = argc > 5 ? std::atoi(argv[5]) : 3000;
  mix.slow_ms = std::min(mix.slow_ms, mix.stream_ms);
  if (argc > 6) {
    mix.pause_ms = std::atoi(argv[6]);
    for (int* clients : {&mix.keep_alive, &mix.one_shot, &mix.slow, &mix.upload, &mix.stream,
                         &mix.websocket, &mix.silent}) {
      *clients = (*clients + 1) / 2;
    }
  }
  slipway::load::MixedLoad load(argv[1], static_cast<uint16_t>(std::atoi(argv[2])), argv[3], mix);
  load.Start();
  const long seconds = argc > 4 ? std::min(std::atol(argv[4]), 3600L) : 3600;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  const timespec look{0, 200'000'000};
  bool told = false;
  while (std::chrono::steady_clock::now() < end && sigtimedwait(&signals, nullptr, &look) < 0) {
    if (told || load.Total().failed == 0) continue;
    told = true;
    std::fprintf(stderr, "failure: %s\n", load.Total().first_failure.c_str());
  }
  load.Stop();
  const slipway::load::Counts total = load.Total();
  std::printf("%-12s %10s %8s %8s %8s\n", "kind", "requests", "failed", "closed", "raced");
  const auto row = [](const char* kind, const slipway::load::Counts& counts) {
    std::printf("%-12s %10lu %8lu %8lu %8lu\n", kind, counts.requests, counts.failed, counts.closed,
                counts.raced);
  };
  for (const auto& [kind, counts] : load.Results()) row(kind.c_str(), counts);
  row("total", total);
  if (total.failed > 0) std::fprintf(stderr, "first failure: %s\n", total.first_failure.c_str());
  return total.failed == 0 ? 0 : 1;
}
