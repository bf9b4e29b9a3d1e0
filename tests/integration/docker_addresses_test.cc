// The Engine's address pools, counted against real Engines in a network namespace of their own.
#include "executor/drivers/docker_addresses.h"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>
#include <sched.h>

#include "common/file.h"
#include "executor/drivers/docker_engine.h"
#include "tests/support/compose_host.h"
#include "tests/support/temporary_folder.h"

namespace slipway::executor {
namespace {

using ::slipway::testing::ComposeHost;

// A dockerd that shares nothing with the machine's.
class OwnEngine {
 public:
  explicit OwnEngine(const std::string& configuration) {
    const std::string at = folder_.path();
    EXPECT_TRUE(WriteFileAtomically(folder_.path() / "daemon.json", configuration).ok());
    pid_ = fork();
    if (pid_ == 0) {
      // No forwarding rules are needed, and no containers run.
      execlp("dockerd", "dockerd", "--config-file", (at + "/daemon.json").c_str(), "--host",
             ("unix://" + Socket()).c_str(), "--data-root", (at + "/data").c_str(), "--exec-root",
             (at + "/run").c_str(), "--pidfile", (at + "/pid").c_str(), "--storage-driver", "vfs",
             "--iptables=false", "--ip-forward=false", "--bridge=none", "--log-level", "fatal",
             nullptr);
      _exit(127);
    }
    for (int tries = 0; tries < 3000 && !engine_.Ping().ok(); ++tries) usleep(10'000);
    EXPECT_TRUE(engine_.Ping().ok());
  }
  ~OwnEngine() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  OwnEngine(const OwnEngine&) = delete;
  OwnEngine& operator=(const OwnEngine&) = delete;

  uint64_t Free() {
    const auto pieces = engine_.CountAddressPieces();
    EXPECT_TRUE(pieces.ok()) << pieces.status();
    return pieces.ok() ? pieces->free : 0;
  }
  bool Create(const std::string& name) {
    DockerNetworkSpec spec;
    spec.name = name;
    return engine_.CreateNetwork(spec).ok();
  }

 private:
  std::string Socket() const { return folder_.path() / "docker.sock"; }

  const slipway::testing::TemporaryFolder folder_;
  DockerEngine engine_{Socket()};
  pid_t pid_ = 0;
};

// The configuration that kMoreAddresses prints.
std::string PrintedConfiguration() {
  const std::string text = kMoreAddresses;
  const size_t from = text.find('{');
  return text.substr(from, text.rfind('}') + 1 - from);
}

class DockerAddressesOnAnEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "this test needs root";
    ComposeHost::Run({"ip", "link", "set", "lo", "up"});
  }
};

TEST_F(DockerAddressesOnAnEngine, CountsWhatTheEngineThenGivesToNetworksToTheLastOne) {
  // A network of the host takes pieces as well.
  ComposeHost::Run({"ip", "link", "add", "lan", "type", "bridge"});
  ComposeHost::Run({"ip", "address", "add", "192.168.20.1/24", "dev", "lan"});
  ComposeHost::Run({"ip", "link", "set", "lan", "up"});
  OwnEngine engine("{}");
  const uint64_t free = engine.Free();
  EXPECT_EQ(free, 30u);
  for (uint64_t i = 0; i < free; ++i) {
    ASSERT_TRUE(engine.Create(absl::StrCat("n", i))) << i;
    EXPECT_EQ(engine.Free(), free - i - 1);
  }
  EXPECT_FALSE(engine.Create("one-more"));
}

TEST_F(DockerAddressesOnAnEngine, ThePrintedConfigurationHasRoomForHundreds) {
  OwnEngine engine(PrintedConfiguration());
  EXPECT_GT(engine.Free(), 1000u);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(engine.Create(absl::StrCat("n", i))) << i;
}

}  // namespace
}  // namespace slipway::executor
