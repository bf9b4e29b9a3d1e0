// Whether the client of a deployment is still there, for those that are not to go on without: a job that was cancelled, a machine
// that went away. Whoever began such a deployment attends it with a watch; when nobody has attended it for the grace, it is
// abandoned. A client that reconnects in time has not been away.
//
// One thread of its own waits and calls.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/mutex.h"

namespace slipway::controller {

// Safe from several threads.
class Attendance {
 public:
  // `abandoned` is called once for each time that a deployment is.
  Attendance(std::chrono::nanoseconds grace,
             std::function<void(const std::string& app, const std::string& id)> abandoned);
  ~Attendance();
  Attendance(const Attendance&) = delete;
  Attendance& operator=(const Attendance&) = delete;

  // From now on somebody is to attend it, and has the grace to come; again begins anew.
  void Expect(const std::string& app, const std::string& id);
  // It has ended.
  void Forget(const std::string& app, const std::string& id);
  // A watch that attends it has begun, or has ended. Of one that is not expected nothing follows.
  void Enter(const std::string& app, const std::string& id);
  void Leave(const std::string& app, const std::string& id);

 private:
  using Key = std::pair<std::string, std::string>;
  struct Attended {
    int watches = 0;
    bool expected = false;
    // Once somebody is expected and nobody watches.
    std::chrono::steady_clock::time_point until;
  };
  // Nothing when it is to stop.
  std::optional<Key> AwaitAbandoned();
  void Run();

  const std::chrono::nanoseconds grace_;
  const std::function<void(const std::string& app, const std::string& id)> abandoned_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::map<Key, Attended> attended_ SLIPWAY_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace slipway::controller
