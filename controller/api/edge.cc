#include "controller/api/edge.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/digest.h"
#include "common/durations.h"
#include "common/names.h"
#include "common/status.h"
#include "controller/access/ref_policy.h"
#include "controller/rollout/state.h"

namespace slipway::controller {

absl::Status MayChange(Store& store, const std::string& app, const Caller& caller) {
  const auto record = store.GetApplication(app);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  if (!record.ok()) return record.status();
  return CheckRef(record->spec.policy(), caller);
}

Request RequestOf(const google::protobuf::Message& message, const std::string& id) {
  if (id.empty()) return {};
  const std::unique_ptr<google::protobuf::Message> copy(message.New());
  copy->CopyFrom(message);
  const auto* field = copy->GetDescriptor()->FindFieldByName("request_id");
  if (field != nullptr) copy->GetReflection()->ClearField(copy.get(), field);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    copy->SerializeToCodedStream(&coded);
  }
  return {id, Sha256Of(absl::StrCat(message.GetDescriptor()->full_name(), ":", bytes))};
}

absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_PAGE_SIZE", "page_size: is negative");
  }
  return asked == 0 ? 50 : std::min(asked, 1000);
}

pb::Application ToProto(const ApplicationRecord& record) {
  pb::Application message;
  message.set_name(ApplicationName(record.app));
  *message.mutable_spec() = record.spec;
  message.set_spec_revision(record.spec_revision);
  message.set_environment_revision(record.environment_revision);
  *message.mutable_create_time() = slipway::ToProto(record.create_time);
  *message.mutable_update_time() = slipway::ToProto(record.update_time);
  return message;
}

pb::Release ToProto(const ReleaseRecord& record) {
  pb::Release message;
  message.set_name(ReleaseName(record.app, record.id));
  message.set_manifest_digest(record.manifest_digest);
  message.set_spec_revision(record.spec_revision);
  message.set_environment_revision(record.environment_revision);
  message.set_commit(record.commit);
  if (record.commit_time) *message.mutable_commit_time() = slipway::ToProto(*record.commit_time);
  message.set_description(record.description);
  *message.mutable_create_time() = slipway::ToProto(record.create_time);
  message.set_files(record.files);
  message.set_bytes(record.bytes);
  return message;
}

pb::Deployment ToProto(const DeploymentRecord& record) {
  pb::Deployment message;
  message.set_name(DeploymentName(record.app, record.id));
  message.set_kind(record.kind);
  message.set_state(record.state);
  message.set_reason(record.reason);
  message.set_message(record.message);
  message.set_release(ReleaseName(record.app, record.release));
  if (!record.previous_release.empty()) {
    message.set_previous_release(ReleaseName(record.app, record.previous_release));
  }
  message.set_commit(record.commit);
  message.set_actor(record.actor.name);
  message.mutable_update_services()->Add(record.update_services.begin(),
                                         record.update_services.end());
  message.set_epoch(record.epoch);
  *message.mutable_create_time() = slipway::ToProto(record.create_time);
  if (record.end_time) *message.mutable_end_time() = slipway::ToProto(*record.end_time);
  message.set_cancel_requested(record.cancel_requested);
  message.set_hold_before_flip(record.hold_before_flip);
  message.set_cancel_when_abandoned(record.cancel_when_abandoned);
  for (const LeftOut& one : record.left_out) {
    pb::LeftOutHost& host = *message.add_left_out();
    host.set_host(one.host);
    host.set_reason(one.reason);
  }
  message.set_last_event(record.last_event);
  message.set_description(record.description);
  for (const RolloutRecord& rollout : record.rollouts) {
    pb::HostRollout& host = *message.add_rollouts();
    host.set_host(rollout.host);
    host.set_state(rollout.state);
    host.set_slot(rollout.slot);
    for (const StepRecord& step : rollout.steps) *host.add_steps() = StepMessage(step);
  }
  return message;
}

pb::HistoryEntry ToProto(const HistoryRecord& record) {
  pb::HistoryEntry message;
  message.set_sequence(record.sequence);
  *message.mutable_time() = slipway::ToProto(record.time);
  message.set_actor(record.actor);
  message.set_action(record.action);
  message.set_subject(record.subject);
  message.set_outcome(record.outcome);
  message.set_hash(record.hash);
  message.set_origin(record.origin);
  return message;
}

pb::Host ToProto(const HostConfig& config, const HostObservation& seen) {
  pb::Host message;
  message.set_name(HostName(config.name));
  message.set_address(config.address);
  message.set_ssh_host_key(config.ssh_host_key);
  message.set_configured(config.configured);
  message.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  message.set_connected(seen.connected);
  message.set_problem(seen.problem);
  message.set_executor_version(seen.info.version());
  message.set_free_bytes(seen.info.free_bytes());
  if (seen.last_seen) *message.mutable_last_seen() = slipway::ToProto(*seen.last_seen);
  return message;
}

pb::HostStatus StatusOf(const std::string& host, const std::string& app,
                        const HostObservation& seen) {
  pb::HostStatus status;
  status.set_host(host);
  status.set_connected(seen.connected);
  if (seen.last_seen) *status.mutable_observe_time() = slipway::ToProto(*seen.last_seen);
  const auto found = seen.applications.find(app);
  if (found == seen.applications.end()) return status;
  const xpb::ApplicationState& state = found->second;
  status.set_active_slot(state.active_slot());
  status.set_active_release(state.active_release());
  status.set_active_commit(state.active_commit());
  status.set_generation(state.generation());
  for (const xpb::SlotState& slot : state.slots()) {
    if (slot.slot() == state.active_slot()) {
      status.set_port(slot.port());
    } else if (slot.has_warm_left() && slot.running()) {
      status.set_warm_release(slot.release());
      *status.mutable_warm_left() = slot.warm_left();
    }
  }
  return status;
}

}  // namespace slipway::controller
