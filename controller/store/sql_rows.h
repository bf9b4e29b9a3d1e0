// What the parts of SqlStore share: times as integers, request ids, the history chain. Internal to controller/store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "controller/store/database.h"
#include "controller/store/store.h"

namespace slipway::controller {

int64_t ToMicros(Time time);
Time FromMicros(int64_t micros);
void BindOptionalTime(Statement& statement, const std::optional<Time>& time);
std::optional<Time> OptionalTime(const Statement& statement, int column);

// The earlier answer to a known request; nothing for a new or empty one. ALREADY_EXISTS for other parameters.
absl::StatusOr<std::optional<std::string>> SeenRequest(Database& database, const std::string& app,
                                                       const Request& request);
absl::Status SaveRequest(Database& database, const std::string& app, const Request& request,
                         const std::string& answer);

absl::Status WriteHistory(Database& database, Time now, const HistoryDraft& draft);
// As Store::VerifyHistory(), in a transaction.
absl::Status VerifyHistory(Database& database);
// SHA-256 over the previous hash and every field, each with its length before it.
std::string HistoryHash(const std::string& previous, const HistoryRecord& row);

struct Lease {
  // The deployment that runs; empty when none does.
  std::string holder;
  uint64_t epoch = 0;
};
absl::StatusOr<Lease> FindLease(Database& database, const std::string& app);
// It goes to the deployment; answers its new epoch.
absl::StatusOr<uint64_t> TakeLease(Database& database, const std::string& app,
                                   const std::string& id, uint64_t floor);
// Ends one that waits in the queue.
absl::Status EndQueued(Database& database, Time now, int64_t deployment, pb::DeploymentState state,
                       const std::string& message, const HistoryDraft& history);
// Ends those that wait; answers their ids.
absl::StatusOr<std::vector<std::string>> Supersede(Database& database, Time now,
                                                   const DeploymentHead& newer);

absl::Status NotFound(const std::string& name);
// The row's number in `deployments`; `-` is the newest of the application.
absl::StatusOr<int64_t> DeploymentNumber(Database& database, const std::string& app,
                                         const std::string& id);
// A rollback that somebody made on the host itself has its row among the deployments too.
absl::Status InsertLocalRollback(Database& database, const std::string& host,
                                 const xpb::LocalEvent& event);
// Numbers and stores the events; answers the last one's number.
absl::StatusOr<uint64_t> InsertEvents(Database& database, int64_t deployment, Time now,
                                      const std::vector<pb::Event>& events);

}  // namespace slipway::controller
