#include "executor/drivers/proc.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::testing::SizeIs;

class Proc : public ::testing::Test {
 protected:
  void AddProcess(int pid, int parent, uint64_t start, const std::string& title,
                  const std::string& command = "nginx", char state = 'S') {
    const auto folder = folder_.path() / absl::StrCat(pid);
    ASSERT_TRUE(MakeFolders(folder).ok());
    std::string stat = absl::StrCat(pid, " (", command, ") ", std::string(1, state), " ", parent);
    for (int field = 5; field < 22; ++field) absl::StrAppend(&stat, " 0");
    ASSERT_TRUE(
        WriteFileAtomically(folder / "stat", absl::StrCat(stat, " ", start, " 0 0\n")).ok());
    ASSERT_TRUE(WriteFileAtomically(folder / "cmdline", title).ok());
  }
  void AddTable(const std::string& name, const std::string& text) {
    ASSERT_TRUE(MakeFolders(folder_.path() / "net").ok());
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / "net" / name, text).ok());
  }

  slipway::testing::TemporaryFolder folder_;
  ProcReader proc_{folder_.path()};
};

TEST_F(Proc, FindsTheWorkersOfOneMasterAndWhichOfThemAreLeaving) {
  AddProcess(10, 1, 100, "nginx: master process /usr/sbin/nginx");
  AddProcess(11, 10, 110, "nginx: worker process");
  AddProcess(12, 10, 120, "nginx: worker process is shutting down");
  AddProcess(13, 10, 130, "nginx: cache manager process");
  AddProcess(14, 99, 140, "nginx: worker process");
  AddProcess(15, 10, 150, "", "nginx", 'Z');
  const auto workers = proc_.NginxWorkers(10);
  ASSERT_TRUE(workers.ok()) << workers.status();
  ASSERT_THAT(*workers, SizeIs(2));
  EXPECT_EQ((*workers)[0].id, (ProcessId{11, 110}));
  EXPECT_FALSE((*workers)[0].shutting_down);
  EXPECT_TRUE((*workers)[1].shutting_down);
}

TEST_F(Proc, IsNotFooledByTheNameOfACommand) {
  AddProcess(11, 10, 110, "nginx: worker process", "evil) R 1 2 (3");
  EXPECT_EQ(proc_.StartTicks(11), 110u);
  EXPECT_THAT(*proc_.NginxWorkers(10), SizeIs(1));
}

TEST_F(Proc, DoesNotTakeAReusedNumberForTheSameProcess) {
  AddProcess(11, 10, 110, "nginx: worker process");
  EXPECT_TRUE(proc_.IsAlive({11, 110}));
  EXPECT_FALSE(proc_.IsAlive({11, 90}));
  EXPECT_FALSE(proc_.IsAlive({12, 110}));
}

TEST_F(Proc, FindsTheMasterOnlyWhileItRuns) {
  const auto pid_file = folder_.path() / "nginx.pid";
  EXPECT_TRUE(absl::IsNotFound(proc_.NginxMaster(pid_file).status()));
  ASSERT_TRUE(WriteFileAtomically(pid_file, "10\n").ok());
  EXPECT_TRUE(absl::IsNotFound(proc_.NginxMaster(pid_file).status()));
  AddProcess(10, 1, 100, "nginx: master process");
  EXPECT_EQ(*proc_.NginxMaster(pid_file), 10);
  ASSERT_TRUE(WriteFileAtomically(pid_file, "garbage").ok());
  EXPECT_TRUE(absl::IsNotFound(proc_.NginxMaster(pid_file).status()));
}

TEST_F(Proc, CountsEstablishedConnectionsToOnePort) {
  AddTable("tcp",
           "  sl  local_address rem_address   st tx_queue\n"
           "   0: 0100007F:1F40 00000000:0000 0A 0\n"
           "   1: 0100007F:A000 0100007F:1F40 01 0\n"
           "   2: 0100007F:1F40 0100007F:A000 01 0\n"
           "   3: 0100007F:A001 0100007F:1F40 06 0\n"
           "   4: 0100007F:A002 0100007F:1F41 01 0\n"
           "   5: 0200007F:A003 0200007F:1F40 01 0\n");
  EXPECT_EQ(*proc_.EstablishedTo("127.0.0.1", 8000), 1u);
  AddTable(
      "tcp6",
      "  sl  local_address rem_address st\n"
      "   0: 0000000000000000FFFF00000100007F:A000 0000000000000000FFFF00000100007F:1F40 01 0\n"
      "garbage\n");
  EXPECT_EQ(*proc_.EstablishedTo("127.0.0.1", 8000), 2u);
  EXPECT_FALSE(proc_.EstablishedTo("localhost", 8000).ok());
}

TEST(ProcOfThisMachine, SeesThisProcess) {
  EXPECT_TRUE(ProcReader().StartTicks(getpid()).has_value());
  EXPECT_TRUE(ProcReader().EstablishedTo("127.0.0.1", 1).ok());
}

}  // namespace
}  // namespace slipway::executor
