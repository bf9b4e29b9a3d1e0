#include "executor/facts.h"

namespace slipway::executor {

xpb::SlotFacts& MutableSlot(xpb::ApplicationFacts& facts, pb::Slot slot) {
  for (xpb::SlotFacts& known : *facts.mutable_slots()) {
    if (known.slot() == slot) return known;
  }
  xpb::SlotFacts& added = *facts.add_slots();
  added.set_slot(slot);
  return added;
}

const xpb::SlotFacts* FindSlot(const xpb::ApplicationFacts& facts, pb::Slot slot) {
  for (const xpb::SlotFacts& known : facts.slots()) {
    if (known.slot() == slot) return &known;
  }
  return nullptr;
}

const xpb::ReleaseFacts* FindRelease(const xpb::ApplicationFacts& facts,
                                     const std::string& release) {
  for (const xpb::ReleaseFacts& known : facts.releases()) {
    if (known.release() == release) return &known;
  }
  return nullptr;
}

void SetOldWorkers(xpb::SlotFacts& slot, const std::vector<ProcessId>& workers) {
  slot.clear_old_workers();
  for (const ProcessId& worker : workers) {
    xpb::WorkerProcess& added = *slot.add_old_workers();
    added.set_pid(worker.pid);
    added.set_start_ticks(worker.start_ticks);
  }
}

std::vector<ProcessId> OldWorkersOf(const xpb::SlotFacts& slot) {
  std::vector<ProcessId> workers;
  for (const xpb::WorkerProcess& worker : slot.old_workers()) {
    workers.push_back({worker.pid(), worker.start_ticks()});
  }
  return workers;
}

absl::Status Commit(Journal& journal, const xpb::ApplicationFacts& facts) {
  xpb::JournalRecord record;
  *record.mutable_facts() = facts;
  return journal.Append(record);
}

}  // namespace slipway::executor
