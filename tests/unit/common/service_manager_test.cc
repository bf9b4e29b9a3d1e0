#include "common/service_manager.h"

#include <cstdlib>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/support/temporary_folder.h"

namespace slipway {
namespace {

class ServiceManagerTest : public ::testing::Test {
 protected:
  ~ServiceManagerTest() override { unsetenv("NOTIFY_SOCKET"); }
  testing::TemporaryFolder folder_;
};

TEST_F(ServiceManagerTest, HearsThatTheDaemonServes) {
  const std::string path = folder_.path() / "notify";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const UniqueFd listener(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), /*overwrite=*/1);
  TellServiceManagerReady();
  char text[64] = {};
  ASSERT_EQ(recv(listener.get(), text, sizeof(text), MSG_DONTWAIT), 7);
  EXPECT_STREQ(text, "READY=1");
}

TEST_F(ServiceManagerTest, StopsNobodyWhenItIsGoneOrNotThere) {
  setenv("NOTIFY_SOCKET", (folder_.path() / "gone").c_str(), /*overwrite=*/1);
  TellServiceManagerReady();
  setenv("NOTIFY_SOCKET", std::string(4096, 'x').c_str(), /*overwrite=*/1);
  TellServiceManagerReady();
  unsetenv("NOTIFY_SOCKET");
  TellServiceManagerReady();
}

}  // namespace
}  // namespace slipway
