// slipway-load ADDRESS PORT HOST [SECONDS [STREAM-MS]]: mixed load until SIGTERM, SIGINT or the time
// is over; then a table of counts. A stream lasts 3 s unless told otherwise. Exit code 1 when a
// request failed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <signal.h>
#include <string>

#include "tests/support/load/load.h"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: slipway-load ADDRESS PORT HOST [SECONDS, at most 3600 [STREAM-MS]]\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  slipway::load::Mix mix;
  mix.stream_ms = argc > 5 ? std::atoi(argv[5]) : 3000;
  slipway::load::MixedLoad load(argv[1], static_cast<uint16_t>(std::atoi(argv[2])), argv[3], mix);
  load.Start();
  const timespec limit{argc > 4 ? std::min(std::atol(argv[4]), 3600L) : 3600, 0};
  sigtimedwait(&signals, nullptr, &limit);
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
