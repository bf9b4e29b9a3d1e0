#include "clients/cli/interruption.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>

#include <gtest/gtest.h>

#include "clients/cli/verb.h"

namespace slipway::cli {
namespace {

void Tell(const char* what) {
  std::fputs(what, stderr);
  std::fflush(stderr);
}

TEST(InterruptionDeathTest, WaitsUntilTheDeploymentThatBeginsIsToldOf) {
  for (const int signal : {SIGINT, SIGTERM}) {
    EXPECT_EXIT(
        {
          HoldInterruptions();
          std::raise(signal);
          Tell("told");
          ObeyInterruptions();
          Tell("stayed");
        },
        ::testing::ExitedWithCode(kExitError), "^told\nleft; the deployment goes on");
  }
}

TEST(InterruptionDeathTest, LeavesAtOnceWhileTheDeploymentRuns) {
  EXPECT_EXIT(
      {
        ObeyInterruptions();
        std::raise(SIGTERM);
        Tell("stayed");
      },
      ::testing::ExitedWithCode(kExitError), "^\nleft");
}

TEST(InterruptionDeathTest, SecondSignalIsNotKeptWaiting) {
  EXPECT_EXIT(
      {
        HoldInterruptions();
        std::raise(SIGINT);
        std::raise(SIGTERM);
        Tell("stayed");
      },
      ::testing::ExitedWithCode(kExitError), "^\nleft");
}

TEST(InterruptionDeathTest, HandlerActsOnceOnARememberedSignalAndTheProgramGoesOn) {
  EXPECT_EXIT(
      {
        HoldInterruptions();
        std::raise(SIGINT);
        {
          const InterruptionHandler handler([] { Tell("acted"); });
        }
        Tell(" went on");
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), "^acted went on$");
}

TEST(InterruptionDeathTest, HandlerActsOnANewSignalAndASecondOneLeaves) {
  EXPECT_EXIT(
      {
        std::promise<void> acted;
        const InterruptionHandler handler([&] {
          Tell("acted");
          acted.set_value();
        });
        std::raise(SIGINT);
        acted.get_future().wait();
        std::raise(SIGTERM);
        Tell("stayed");
      },
      ::testing::ExitedWithCode(kExitError), "^acted\nleft; `slipway watch` shows how");
}

}  // namespace
}  // namespace slipway::cli
