#include "controller/api/watch.h"

#include <deque>
#include <utility>

#include "common/grpc_status.h"
#include "common/mutex.h"
#include "common/names.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

constexpr int kPage = 64;

class Watch : public grpc::ServerWriteReactor<pb::WatchDeploymentResponse> {
 public:
  Watch(Store& store, EventHub& hub, Attendance& attendance)
      : store_(store), hub_(hub), attendance_(attendance) {}

  void Begin(const pb::WatchDeploymentRequest& request) {
    const absl::Status status = Resolve(request);
    if (!status.ok()) {
      // Not Finish(): a cancellation that comes meanwhile ends the call too.
      End(ToGrpc(status));
      return;
    }
    // Subscribed first, so that nothing falls between the first read and the first call of the hub.
    subscription_ = hub_.Subscribe(app_, id_, [this] { Wake(); });
    attends_ = request.attend();
    if (attends_) attendance_.Enter(app_, id_);
    Wake();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      End(grpc::Status::CANCELLED);
      return;
    }
    Next();
  }

  void OnCancel() override { Wake(/*cancelled=*/true); }

  void OnDone() override {
    if (subscription_ != 0) hub_.Unsubscribe(subscription_);
    if (attends_) attendance_.Leave(app_, id_);
    delete this;
  }

 private:
  absl::Status Resolve(const pb::WatchDeploymentRequest& request) {
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentRef ref, ParseDeploymentName(request.name()));
    SLIPWAY_ASSIGN_OR_RETURN(const DeploymentHead head,
                             store_.GetDeploymentHead(ref.app, ref.deployment));
    app_ = head.app;
    id_ = head.id;
    after_ = request.after();
    return absl::OkStatus();
  }

  // Takes the turn unless somebody has it, who will then look once more.
  void Wake(bool cancelled = false) {
    {
      MutexLock lock(mutex_);
      cancelled_ = cancelled_ || cancelled;
      again_ = true;
      if (busy_ || ended_) return;
      busy_ = true;
    }
    Next();
  }

  // Holds the turn: starts one write, ends the call, or gives the turn back. No lock is held while
  // gRPC is called, for it may call back at once.
  void Next() {
    while (true) {
      {
        MutexLock lock(mutex_);
        if (cancelled_) break;
        if (page_.empty()) again_ = false;
      }
      if (page_.empty() && !Fill()) return;
      if (!page_.empty()) {
        response_.mutable_event()->Swap(&page_.front());
        page_.pop_front();
        after_ = response_.event().sequence();
        StartWrite(&response_);
        return;
      }
      MutexLock lock(mutex_);
      if (again_ || cancelled_) continue;
      busy_ = false;
      return;
    }
    End(grpc::Status::CANCELLED);
  }

  // False when the call was ended.
  bool Fill() {
    // The state is read before the events: an end that comes in between is seen the next time.
    const auto head = store_.GetDeploymentHead(app_, id_);
    if (!head.ok()) {
      End(ToGrpc(head.status()));
      return false;
    }
    auto events = store_.ListEvents(app_, id_, after_, kPage);
    if (!events.ok()) {
      End(ToGrpc(events.status()));
      return false;
    }
    page_.assign(std::make_move_iterator(events->begin()), std::make_move_iterator(events->end()));
    if (page_.empty() && IsTerminal(head->state)) {
      End(grpc::Status::OK);
      return false;
    }
    return true;
  }

  void End(const grpc::Status& status) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    Finish(status);
  }

  Store& store_;
  EventHub& hub_;
  Attendance& attendance_;
  std::string app_;
  std::string id_;
  uint64_t subscription_ = 0;
  bool attends_ = false;
  // Touched only by whoever has the turn.
  uint64_t after_ = 0;
  std::deque<pb::Event> page_;
  pb::WatchDeploymentResponse response_;

  Mutex mutex_;
  bool busy_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool again_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool cancelled_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool ended_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* RefuseWatch(const absl::Status& refused) {
  class Refusal : public grpc::ServerWriteReactor<pb::WatchDeploymentResponse> {
   public:
    explicit Refusal(const absl::Status& refused) { Finish(ToGrpc(refused)); }
    void OnDone() override { delete this; }
  };
  return new Refusal(refused);
}

grpc::ServerWriteReactor<pb::WatchDeploymentResponse>* StartWatch(
    Store& store, EventHub& hub, Attendance& attendance,
    const pb::WatchDeploymentRequest& request) {
  auto* watch = new Watch(store, hub, attendance);
  watch->Begin(request);
  return watch;
}

}  // namespace slipway::controller
