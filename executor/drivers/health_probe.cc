#include "executor/drivers/health_probe.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

#include "common/durations.h"
#include "executor/drivers/evidence_text.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBody = 1 << 20;
constexpr int kTailLines = 20;
constexpr std::chrono::milliseconds kTcpHold{50};

bool Contains(const Json& json, const google::protobuf::Struct& wanted);

bool Equals(const Json& json, const google::protobuf::Value& wanted) {
  switch (wanted.kind_case()) {
    case google::protobuf::Value::kNullValue:
      return json.is_null();
    case google::protobuf::Value::kNumberValue:
      return json.is_number() && json.get<double>() == wanted.number_value();
    case google::protobuf::Value::kStringValue:
      return json.is_string() && json.get_ref<const std::string&>() == wanted.string_value();
    case google::protobuf::Value::kBoolValue:
      return json.is_boolean() && json.get<bool>() == wanted.bool_value();
    case google::protobuf::Value::kStructValue:
      return Contains(json, wanted.struct_value());
    case google::protobuf::Value::kListValue: {
      const auto& list = wanted.list_value().values();
      if (!json.is_array() || json.size() != static_cast<size_t>(list.size())) return false;
      for (int i = 0; i < list.size(); ++i) {
        if (!Equals(json[static_cast<size_t>(i)], list[i])) return false;
      }
      return true;
    }
    default:
      return false;
  }
}

bool Contains(const Json& json, const google::protobuf::Struct& wanted) {
  if (!json.is_object()) return false;
  return std::all_of(wanted.fields().begin(), wanted.fields().end(), [&json](const auto& field) {
    const auto found = json.find(field.first);
    return found != json.end() && Equals(*found, field.second);
  });
}

ProbeResult Failed(absl::string_view failure, absl::string_view body = "") {
  return {false, EvidenceText(failure, 512), EvidenceText(body)};
}

}  // namespace

bool JsonContains(absl::string_view body, const google::protobuf::Struct& wanted) {
  // Without exceptions: garbage gives a value that is_discarded().
  const Json json = Json::parse(body.begin(), body.end(), nullptr, false);
  return !json.is_discarded() && Contains(json, wanted);
}

ProbeResult JudgeHttp(const HttpResponse& response, const pb::HttpProbe& wanted) {
  const int status = wanted.status() == 0 ? 200 : static_cast<int>(wanted.status());
  if (response.status != status) {
    return Failed(absl::StrCat("status ", response.status, " instead of ", status), response.body);
  }
  for (const auto& [name, value] : wanted.headers()) {
    const auto found = response.headers.find(absl::AsciiStrToLower(name));
    if (found == response.headers.end() || found->second != value) {
      return Failed(absl::StrCat("header ", name, " is ",
                                 found == response.headers.end() ? "absent" : found->second,
                                 " instead of ", value),
                    response.body);
    }
  }
  if (!wanted.body().empty() && !absl::StrContains(response.body, wanted.body())) {
    return Failed(absl::StrCat("the body does not contain '", wanted.body(), "'"), response.body);
  }
  if (wanted.has_json() && !JsonContains(response.body, wanted.json())) {
    return Failed("the body's JSON does not have the expected values", response.body);
  }
  return {true, "", ""};
}

SlotProbe::SlotProbe(Workload& workload, std::string app, pb::Slot slot, pb::HealthSpec spec,
                     std::string address, uint32_t port, Cancellation* cancellation)
    : workload_(workload),
      app_(std::move(app)),
      slot_(slot),
      spec_(std::move(spec)),
      address_(std::move(address)),
      port_(port),
      cancellation_(cancellation) {}

absl::Status SlotProbe::Compare(const ObservedContainer& before, const ObservedSlot& now) {
  const auto found = std::find_if(now.containers.begin(), now.containers.end(),
                                  [&before](const auto& c) { return c.id == before.id; });
  const auto died = [this, &before](absl::string_view how) {
    dead_ = before.id;
    return Failure(pb::FAILURE_REASON_CONTAINER_DIED,
                   absl::StrCat("the container of service ", before.service, " ", how));
  };
  if (found == now.containers.end()) return died("is gone");
  if (!found->running) {
    return died(found->exit_code ? absl::StrCat("has ended with exit code ", *found->exit_code)
                                 : "has ended");
  }
  // Its exit code is gone: Docker has reset it at the start.
  if (found->restart_count != before.restart_count || found->started_at != before.started_at) {
    return died("ended and was restarted");
  }
  return absl::OkStatus();
}

absl::Status SlotProbe::CheckAlive() {
  absl::StatusOr<ObservedSlot> now = workload_.Observe(app_, slot_, cancellation_);
  // Docker may be restarting: the containers are judged when it answers again, the gate's deadline
  // goes on.
  if (!now.ok()) return absl::UnavailableError(now.status().message());
  last_ = *std::move(now);
  if (!first_.has_value()) {
    if (last_.containers.empty()) {
      return Failure(pb::FAILURE_REASON_START, "no container runs in the slot");
    }
    first_ = last_;
    // The slot was filled for this deployment: a restart before the first look counts too.
    for (ObservedContainer& container : first_->containers) container.restart_count = 0;
  }
  for (const ObservedContainer& before : first_->containers) {
    if (absl::Status status = Compare(before, last_); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SlotProbe::CheckPortOwner() {
  const absl::StatusOr<ObservedContainer> owner = workload_.OwnerOfPort(port_);
  if (!owner.ok()) return absl::NotFoundError(absl::StrCat("no container publishes port ", port_));
  const bool ours = std::any_of(last_.containers.begin(), last_.containers.end(),
                                [&owner](const auto& c) { return c.id == owner->id; });
  if (ours) return absl::OkStatus();
  return Failure(pb::FAILURE_REASON_PORT_TAKEN,
                 absl::StrCat("port ", port_, " belongs to another container, ",
                              owner->id.substr(0, 12), " (service ", owner->service, ")"),
                 "stop that container, or give the application other slot ports");
}

ProbeResult SlotProbe::Probe() {
  switch (spec_.probe_case()) {
    case pb::HealthSpec::kTcp:
      return ProbeTcp();
    case pb::HealthSpec::kCommand:
      return ProbeCommand();
    case pb::HealthSpec::kDocker:
      return ProbeDocker();
    default:
      return ProbeHttp();
  }
}

bool SlotProbe::NeedsDocker() const {
  return spec_.probe_case() == pb::HealthSpec::kCommand ||
         spec_.probe_case() == pb::HealthSpec::kDocker;
}

ProbeResult SlotProbe::ProbeHttp() {
  const pb::HttpProbe& wanted = spec_.http();
  HttpRequest request;
  request.endpoint.address = address_;
  request.endpoint.port = port_;
  request.path = wanted.path().empty() ? "/health" : wanted.path();
  request.host = wanted.host();
  request.timeout = FromProto(spec_.probe_timeout());
  request.connect_timeout = request.timeout;
  request.max_body = kMaxBody;
  request.cancellation = cancellation_;
  const absl::StatusOr<HttpResponse> response = SendHttp(request);
  if (!response.ok()) return Failed(absl::StrCat("no answer: ", response.status().message()));
  return JudgeHttp(*response, wanted);
}

ProbeResult SlotProbe::ProbeTcp() {
  HttpEndpoint endpoint;
  endpoint.address = address_;
  endpoint.port = port_;
  const absl::Status status =
      TryTcp(endpoint, FromProto(spec_.probe_timeout()), kTcpHold, cancellation_);
  if (!status.ok()) return Failed(status.message());
  return {true, "", ""};
}

ProbeResult SlotProbe::ProbeCommand() {
  const pb::CommandProbe& probe = spec_.command();
  for (const ObservedContainer& container : last_.containers) {
    if (container.service != probe.service()) continue;
    const absl::StatusOr<int> code =
        workload_.RunInContainer(container.id, {probe.command().begin(), probe.command().end()},
                                 FromProto(spec_.probe_timeout()));
    if (!code.ok()) {
      ProbeResult failed =
          Failed(absl::StrCat("the command did not run: ", code.status().message()));
      failed.inconclusive = absl::IsUnavailable(code.status());
      return failed;
    }
    if (*code != 0) return Failed(absl::StrCat("the command ended with ", *code));
    return {true, "", ""};
  }
  return Failed(absl::StrCat("no container of service ", probe.service()));
}

ProbeResult SlotProbe::ProbeDocker() {
  bool any = false;
  for (const ObservedContainer& container : last_.containers) {
    if (container.health.empty()) continue;
    any = true;
    if (container.health != "healthy") {
      return Failed(absl::StrCat("Docker says that ", container.service, " is ", container.health));
    }
  }
  return any ? ProbeResult{true, "", ""} : Failed("no container of the slot has a health check");
}

std::vector<std::string> SlotProbe::Tail() {
  if (!dead_.empty()) return workload_.Tail(dead_, kTailLines);
  if (last_.containers.empty()) return {};
  return workload_.Tail(last_.containers.front().id, kTailLines);
}

}  // namespace slipway::executor
