// The Store seam: everything the controller remembers.
//
// Guarantees, which tests/contract checks on every back end:
//  - A method that answered OK is durable: its effect is there after kill -9 and after a power cut.
//  - A method that answered an error changed nothing. Each method is one transaction.
//  - History only grows. Each row's hash covers the row before it; VerifyHistory() finds a row that was edited, swapped,
//    removed or cut off at the end.
//  - An application has at most one running deployment (its lease); the lease's epoch only grows, and is released in the
//    transaction that stores the terminal state. At most one deployment waits for it.
//  - Events of a deployment are numbered from 1 without gaps.
//  - A request id that was seen is answered as it was the first time: ALREADY_EXISTS (reason REQUEST_ID_REUSED) when it
//    comes with other parameters.
//
// Errors: NOT_FOUND, FAILED_PRECONDITION and ABORTED as named below; UNAVAILABLE (reason STORE_UNAVAILABLE) when the back
// end fails, for example for want of space. All methods are safe from any thread and may block for a disk write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/store/records.h"

#include "slipway/executor/v1/executor.pb.h"

namespace slipway::controller {

// A client's request id with a hash of everything else it asked. An empty id is not remembered.
struct Request {
  std::string id;
  std::string parameters_hash;
};

// A history row to be written together with what it tells of.
struct HistoryDraft {
  std::string app;
  Actor actor;
  std::string action;
  std::string subject;
  std::string outcome;
};

// A small thing that is looked up by kind and id, such as a token; the body is a message of store.proto.
struct RecordDraft {
  std::string kind;
  std::string id;
  std::string body;
  // After it the record is as good as gone.
  std::optional<Time> expire_time;
};

struct Applied {
  ApplicationRecord application;
  bool changed = false;
};

struct NewDeployment {
  // `id` is the wished one: `-2`, `-3`... is added when it is taken. The epoch is the store's to choose.
  DeploymentRecord deployment;
  // The new epoch is above this and above all before it.
  uint64_t epoch_floor = 0;
};

struct CreatedDeployment {
  std::string id;
  // It waits for the lease.
  bool queued = false;
  // Waited until now, and ended SUPERSEDED by this one.
  std::vector<std::string> superseded;
};

struct StepChange {
  // Indexes into DeploymentRecord::rollouts and ::steps.
  size_t host = 0;
  size_t position = 0;
  StepRecord step;
};

struct HostChange {
  // Index into DeploymentRecord::rollouts.
  size_t host = 0;
  pb::DeploymentState state = pb::DEPLOYMENT_STATE_UNSPECIFIED;
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
};

// One step of a deployment's life: all of it or nothing is stored.
struct Transition {
  // Its own for ever; recorded again directly after itself it is stored once, for whoever is in doubt about a commit. Empty: it is
  // not told again.
  std::string id;
  // `cancel_requested` and `last_event` are the store's.
  DeploymentHead deployment;
  std::vector<HostChange> hosts;
  std::vector<StepChange> steps;
  // Without sequence and time.
  std::vector<pb::Event> events;
  // At the end of the deployment.
  std::optional<HistoryDraft> history;
};

class Store {
 public:
  virtual ~Store() = default;

  // Applications. An equal spec keeps its revision.
  virtual absl::StatusOr<Applied> ApplyApplication(const pb::ApplicationSpec& spec,
                                                   const Request& request, const Actor& actor) = 0;
  virtual absl::StatusOr<ApplicationRecord> GetApplication(const std::string& app) = 0;
  virtual absl::StatusOr<pb::ApplicationSpec> GetSpec(const std::string& app,
                                                      uint64_t revision) = 0;
  // In the order of their names, those after `after`.
  virtual absl::StatusOr<std::vector<ApplicationRecord>> ListApplications(const std::string& after,
                                                                          int limit) = 0;

  // Stores revision `expected + 1`; ABORTED when the present revision is not `expected` any more. Answers the revision.
  virtual absl::StatusOr<uint64_t> PutEnvironment(const std::string& app, uint64_t expected,
                                                  const std::string& sealed, const Request& request,
                                                  const Actor& actor) = 0;
  virtual absl::StatusOr<EnvironmentRecord> GetEnvironment(const std::string& app,
                                                           uint64_t revision) = 0;

  // A release that is there already is answered as it is.
  virtual absl::StatusOr<ReleaseRecord> CreateRelease(const ReleaseRecord& release,
                                                      const Request& request,
                                                      const Actor& actor) = 0;
  virtual absl::StatusOr<ReleaseRecord> GetRelease(const std::string& app,
                                                   const std::string& id) = 0;
  // Newest first; `before` is a release's id, empty for the newest.
  virtual absl::StatusOr<std::vector<ReleaseRecord>> ListReleases(const std::string& app,
                                                                  const std::string& before,
                                                                  int limit) = 0;

  // What a request id was answered with; nothing when it is new or empty.
  virtual absl::StatusOr<std::optional<std::string>> FindRequest(const std::string& app,
                                                                 const Request& request) = 0;
  // Remembers that a request found nothing to do.
  virtual absl::Status RememberRequest(const std::string& app, const Request& request,
                                       const std::string& answer) = 0;

  // Takes the lease and stores the deployment with its first event; while another has the lease it is stored as QUEUED, in
  // place of the one that waited. Answers the earlier one for a known request. A reconciliation waits for nothing and takes nobody's
  // place: FAILED_PRECONDITION (reason BUSY) while another deployment runs or waits.
  virtual absl::StatusOr<CreatedDeployment> CreateDeployment(const NewDeployment& made,
                                                             const Request& request) = 0;
  // Gives the lease, with an epoch above the floor, to the deployment that waits, if it is free; answers that one's id. Empty
  // when none waits or the lease is held.
  virtual absl::StatusOr<std::string> StartQueued(const std::string& app, uint64_t epoch_floor) = 0;
  // (application, deployment) of everything that waits.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListQueued() = 0;
  // ABORTED (reason LEASE_LOST) unless the deployment holds the lease with this epoch, or this is its last transition, told again.
  // Answers the last event's number.
  virtual absl::StatusOr<uint64_t> RecordTransition(const Transition& transition) = 0;
  // Appends events that change no state, such as lines of output.
  virtual absl::StatusOr<uint64_t> AppendEvents(const std::string& app, const std::string& id,
                                                const std::vector<pb::Event>& events) = 0;
  // False when the deployment had ended already. One that waits in the queue ends CANCELLED here and now.
  virtual absl::StatusOr<bool> RequestCancel(const std::string& app, const std::string& id,
                                             const Request& request, const Actor& actor) = 0;
  // Lets a paused deployment go on. FAILED_PRECONDITION (reason NOT_PAUSED).
  virtual absl::Status RequestResume(const std::string& app, const std::string& id,
                                     const Request& request, const Actor& actor) = 0;
  // With rollouts and steps. `-` is the newest.
  virtual absl::StatusOr<DeploymentRecord> GetDeployment(const std::string& app,
                                                         const std::string& id) = 0;
  // Without what it is on each host, which may be much.
  virtual absl::StatusOr<DeploymentHead> GetDeploymentHead(const std::string& app,
                                                           const std::string& id) = 0;
  // Newest first, without rollouts.
  virtual absl::StatusOr<std::vector<DeploymentRecord>> ListDeployments(const std::string& app,
                                                                        const std::string& before,
                                                                        int limit) = 0;
  // The newest of those that ended with their release serving everywhere; newest first, without rollouts.
  virtual absl::StatusOr<std::vector<DeploymentRecord>> ListServed(const std::string& app,
                                                                   int limit) = 0;
  // (application, deployment) of everything that has not ended.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListRunning() = 0;
  // The deployment that holds the lease; empty when none does.
  virtual absl::StatusOr<std::string> LeaseHolder(const std::string& app) = 0;
  virtual absl::StatusOr<std::vector<pb::Event>> ListEvents(const std::string& app,
                                                            const std::string& id, uint64_t after,
                                                            int limit) = 0;

  // Writes what is new among the events of a host to the history, each once; answers the number up to which the host may
  // forget them.
  virtual absl::StatusOr<uint64_t> RecordLocalEvents(
      const std::string& host, const std::vector<xpb::LocalEvent>& events) = 0;

  // Records. With a history draft both are written, or neither.
  // ALREADY_EXISTS when the id is taken, by an expired record too.
  virtual absl::Status CreateRecord(const RecordDraft& record,
                                    const std::optional<HistoryDraft>& history) = 0;
  // Makes it or replaces it.
  virtual absl::Status PutRecord(const RecordDraft& record,
                                 const std::optional<HistoryDraft>& history) = 0;
  // NOT_FOUND also when it has expired.
  virtual absl::StatusOr<std::string> GetRecord(const std::string& kind, const std::string& id) = 0;
  // Those that have not expired, (id, body) in the order of their ids, after `after`.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListRecords(
      const std::string& kind, const std::string& after, int limit) = 0;
  // Removes it and answers what it was: of two who try, one gets it. NOT_FOUND also when it has expired.
  virtual absl::StatusOr<std::string> TakeRecord(const std::string& kind, const std::string& id,
                                                 const std::optional<HistoryDraft>& history) = 0;
  virtual absl::Status RemoveExpiredRecords() = 0;

  // Removes request ids that were seen before this time: they may be used again.
  virtual absl::Status RemoveRequests(Time before) = 0;
  // Removes the events, but for the last one, of some deployments that ended before this time; true when there may be more of them.
  virtual absl::StatusOr<bool> RemoveEvents(Time before) = 0;

  virtual absl::Status AppendHistory(const HistoryDraft& draft) = 0;
  // Newest first; `before` is a sequence number, 0 for the newest; an empty app means all.
  virtual absl::StatusOr<std::vector<HistoryRecord>> ListHistory(const std::string& app,
                                                                 uint64_t before, int limit) = 0;
  // DATA_LOSS (reason HISTORY_BROKEN) naming the first row that does not fit.
  virtual absl::Status VerifyHistory() = 0;
};

}  // namespace slipway::controller
