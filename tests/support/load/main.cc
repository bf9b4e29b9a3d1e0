// slipway-load ADDRESS PORT HOST [SECONDS]: mixed load until SIGTERM, SIGINT or the time is over;
// prints the counts as JSON.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <signal.h>
#include <string>

#include "tests/support/load/load.h"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: slipway-load ADDRESS PORT HOST [SECONDS, at most 3600]\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  slipway::load::Mix mix;
  mix.stream_ms = 3000;
  slipway::load::MixedLoad load(argv[1], static_cast<uint16_t>(std::atoi(argv[2])), argv[3], mix);
  load.Start();
  const timespec limit{argc > 4 ? std::min(std::atol(argv[4]), 3600L) : 3600, 0};
  sigtimedwait(&signals, nullptr, &limit);
  load.Stop();
  std::printf("{\n");
  for (const auto& [kind, counts] : load.Results()) {
    std::printf(
        "  \"%s\": {\"requests\": %lu, \"failed\": %lu, \"closed\": %lu, \"raced\": %lu},\n",
        kind.c_str(), counts.requests, counts.failed, counts.closed, counts.raced);
  }
  const slipway::load::Counts total = load.Total();
  std::printf(
      "  \"total\": {\"requests\": %lu, \"failed\": %lu, \"closed\": %lu, \"raced\": %lu}\n}\n",
      total.requests, total.failed, total.closed, total.raced);
  if (total.failed > 0) std::fprintf(stderr, "first failure: %s\n", total.first_failure.c_str());
  return total.failed == 0 ? 0 : 1;
}
