#include "executor/drivers/drain.h"

#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include "common/durations.h"
#include "common/file.h"
#include "executor/drivers/http_client.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_server.h"

namespace slipway::executor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A child that lives until it is ended.
class Child {
 public:
  Child() : pid_(fork()) {
    if (pid_ == 0) {
      while (true) pause();
    }
  }
  ~Child() { End(); }
  void End() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  ProcessId id() const { return {pid_, ProcReader().StartTicks(pid_).value_or(0)}; }

 private:
  pid_t pid_;
};

TEST(Drain, IsAtOnceDoneWhenNothingIsLeft) {
  Child child;
  DrainRequest request;
  request.old_workers = {child.id(), {999999, 1}};
  // Its number belongs to another process now.
  request.old_workers.push_back({child.id().pid, 1});
  child.End();
  const auto evidence = Drain(ProcReader(), request);
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_EQ(evidence->old_workers_at_start(), 0u);
  EXPECT_LT(FromProto(evidence->waited()), seconds(1));
}

TEST(Drain, WaitsForTheLastOldWorkerAndNoLonger) {
  Child first;
  Child second;
  DrainRequest request;
  request.old_workers = {first.id(), second.id()};
  std::thread ends([&] {
    first.End();
    second.End();
  });
  const auto evidence = Drain(ProcReader(), request);
  ends.join();
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_EQ(evidence->old_workers_left(), 0u);
  EXPECT_LT(FromProto(evidence->waited()), seconds(5));
}

TEST(Drain, CountsWhatIsLeftAtTheDeadline) {
  const Child child;
  const slipway::testing::TemporaryFolder folder;
  ASSERT_TRUE(MakeFolders(folder.path() / "net").ok());
  ASSERT_TRUE(WriteFileAtomically(
                  folder.path() / "net/tcp",
                  "h\n 0: 0100007F:A000 0100007F:1F40 01 0\n 1: 0100007F:A001 0100007F:1F40 01 0\n")
                  .ok());
  DrainRequest request;
  request.port = 8000;
  request.timeout = milliseconds(60);
  const auto connections = Drain(ProcReader(folder.path()), request);
  ASSERT_TRUE(connections.ok()) << connections.status();
  EXPECT_EQ(connections->connections_at_start(), 2u);
  EXPECT_EQ(connections->connections_left(), 2u);
  request.port = 1;
  request.old_workers = {child.id()};
  const auto workers = Drain(ProcReader(), request);
  ASSERT_TRUE(workers.ok()) << workers.status();
  EXPECT_EQ(workers->old_workers_left(), 1u);
  EXPECT_GE(FromProto(workers->waited()), milliseconds(60));
}

TEST(Drain, WaitsForAnOpenConnectionToTheOldPort) {
  Mutex mutex;
  CondVar changed;
  bool release = false;
  slipway::testing::TinyServer server("127.0.0.1", 0, [&](const std::string&) {
    MutexLock lock(mutex);
    while (!release) changed.Wait(mutex);
    return slipway::testing::TinyServer::Answer{};
  });
  std::thread client([&] {
    HttpRequest request;
    request.endpoint.port = server.port();
    EXPECT_TRUE(SendHttp(request).ok());
  });
  DrainRequest request;
  request.port = server.port();
  request.timeout = seconds(20);
  while (*ProcReader().EstablishedTo("127.0.0.1", server.port()) == 0) usleep(1000);
  std::thread ends([&] {
    MutexLock lock(mutex);
    release = true;
    changed.NotifyAll();
  });
  const auto evidence = Drain(ProcReader(), request);
  ends.join();
  client.join();
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_EQ(evidence->connections_left(), 0u);
  EXPECT_LT(FromProto(evidence->waited()), seconds(10));
}

TEST(Drain, StopsWhenCancelled) {
  const Child child;
  Cancellation cancellation;
  DrainRequest request;
  request.old_workers = {child.id()};
  request.cancellation = &cancellation;
  std::thread cancels([&] { cancellation.Cancel(); });
  EXPECT_TRUE(absl::IsCancelled(Drain(ProcReader(), request).status()));
  cancels.join();
}

}  // namespace
}  // namespace slipway::executor
