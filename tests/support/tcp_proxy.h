// Stands between a client and a server on loopback, and fails as networks do.
#pragma once

#include <list>
#include <thread>
#include <vector>

#include "common/file.h"
#include "common/mutex.h"

namespace slipway::testing {

class TcpProxy {
 public:
  enum class Cut {
    // What the client sent does not arrive.
    kBefore,
    // It arrives, and the answer does not.
    kAfter,
    // The same, and nobody can connect any more before Freeze(false).
    kAfterForGood,
  };

  explicit TcpProxy(int server_port);
  ~TcpProxy();

  int port() const { return port_; }
  // Both sides lose the connection at the `sending`th time that a client sends something from now on; once.
  void CutAt(int sending, Cut cut);
  bool HasCut();
  // Nothing passes any more, in either direction, and the connections stay.
  void Freeze(bool frozen);

 private:
  void Accept();
  void Relay(UniqueFd client);
  // Whether what a client sent goes on, and what is to happen at the answer.
  enum class Fate { kPass, kCutNow, kCutAtAnswer };
  Fate Count();
  bool AwaitThaw();

  const int server_port_;
  int port_ = 0;
  UniqueFd listener_;
  UniqueFd stop_;
  Mutex mutex_;
  CondVar thawed_;
  int countdown_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  Cut cut_ SLIPWAY_GUARDED_BY(mutex_) = Cut::kBefore;
  bool frozen_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool closed_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool stopped_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::list<std::thread> relays_ SLIPWAY_GUARDED_BY(mutex_);
  std::thread accepts_;
};

}  // namespace slipway::testing
