// Reading and changing ApplicationFacts, the journal's picture of an application on this host.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/protos.h"
#include "executor/drivers/proc.h"
#include "executor/journal.h"

#include "slipway/executor/v1/journal.pb.h"

namespace slipway::executor {

// The slot's entry, made when it is absent.
xpb::SlotFacts& MutableSlot(xpb::ApplicationFacts& facts, pb::Slot slot);
// Nullptr when nothing is known of the slot.
const xpb::SlotFacts* FindSlot(const xpb::ApplicationFacts& facts, pb::Slot slot);
const xpb::ReleaseFacts* FindRelease(const xpb::ApplicationFacts& facts,
                                     const std::string& release);

void SetOldWorkers(xpb::SlotFacts& slot, const std::vector<ProcessId>& workers);
std::vector<ProcessId> OldWorkersOf(const xpb::SlotFacts& slot);

absl::Status Commit(Journal& journal, const xpb::ApplicationFacts& facts);

}  // namespace slipway::executor
