// slipway-watchers SOCKET DEPLOYMENT COUNT: so many clients, each with a connection of its own, watch a deployment to its end. Prints
// `ready` when each of them has had an event; at the end, as JSON, the events that each was told and the milliseconds from an event
// to its arrival, of those that came after `ready`. Exit code 1 when a watch failed, or when not all were told the same.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <nlohmann/json.hpp>

#include "clients/controller_client.h"

namespace slipway {
namespace {

struct Watch {
  absl::Status status;
  uint64_t events = 0;
  std::vector<double> delays;
};

Watch WatchOnce(const std::string& socket, const std::string& deployment, std::latch& ready) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  client::ControllerClient controller(grpc::CreateCustomChannel(
      absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments));
  Watch watch;
  watch.status = controller.Watch(deployment, 0, false, [&](const pb::Event& event) {
    if (++watch.events == 1) ready.count_down();
    if (ready.try_wait()) {
      const absl::Time told =
          absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
      watch.delays.push_back(absl::ToDoubleMilliseconds(absl::Now() - told));
    }
    return true;
  });
  if (watch.events == 0) ready.count_down();
  return watch;
}

int Run(const std::string& socket, const std::string& deployment, int count) {
  std::latch ready(count);
  std::vector<Watch> watches(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (Watch& watch : watches) {
    threads.emplace_back([&] { watch = WatchOnce(socket, deployment, ready); });
  }
  ready.wait();
  std::puts("ready");
  std::fflush(stdout);
  for (std::thread& thread : threads) thread.join();
  std::vector<double> delays;
  std::set<uint64_t> events;
  for (const Watch& watch : watches) {
    if (!watch.status.ok()) std::fprintf(stderr, "%s\n", watch.status.ToString().c_str());
    events.insert(watch.status.ok() ? watch.events : 0);
    delays.insert(delays.end(), watch.delays.begin(), watch.delays.end());
  }
  std::sort(delays.begin(), delays.end());
  if (delays.empty() || events.size() != 1 || *events.begin() == 0) return 1;
  const nlohmann::json seen = {{"events", *events.begin()},
                               {"p50", delays[delays.size() / 2]},
                               {"p99", delays[delays.size() * 99 / 100]},
                               {"max", delays.back()}};
  std::puts(seen.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: slipway-watchers SOCKET DEPLOYMENT COUNT\n");
    return 2;
  }
  return slipway::Run(argv[1], argv[2], std::clamp(std::atoi(argv[3]), 1, 1000));
}
