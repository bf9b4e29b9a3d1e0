#include "executor/local_command.h"

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include <grpcpp/grpcpp.h>

#include "common/durations.h"
#include "common/spec.h"
#include "common/user.h"

#include "slipway/executor/v1/executor.grpc.pb.h"

namespace slipway::executor {
namespace {

std::unique_ptr<xpb::ExecutorService::Stub> Connect(const std::string& socket) {
  return xpb::ExecutorService::NewStub(
      grpc::CreateChannel(absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials()));
}

int Report(const grpc::Status& status, const std::string& socket) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    std::fprintf(stderr,
                 "slipway-executor: no executor answers on %s\n  what to do: systemctl start "
                 "slipway-executor\n",
                 socket.c_str());
    return 7;
  }
  std::fprintf(stderr, "slipway-executor: %s\n", status.error_message().c_str());
  return 8;
}

// The person behind sudo, else the user.
std::string Actor() {
  const char* sudo = getenv("SUDO_USER");
  if (sudo != nullptr) return sudo;
  return UserName();
}

void Print(const xpb::ApplicationState& state) {
  std::printf("%s: %s serves %s %s, generation %lu\n", state.app().c_str(),
              SlotWord(state.active_slot()).c_str(),
              state.active_release().empty() ? "-" : state.active_release().c_str(),
              state.active_commit().c_str(), static_cast<unsigned long>(state.generation()));
  for (const xpb::SlotState& slot : state.slots()) {
    const std::string warm =
        slot.has_warm_left()
            ? absl::StrCat(", warm for ", FormatDuration(FromProto(slot.warm_left())))
            : "";
    std::printf("  %-5s port %u  %s  %s%s%s\n", SlotWord(slot.slot()).c_str(), slot.port(),
                slot.release().c_str(), slot.running() ? "running" : "stopped",
                slot.serving() ? ", serves" : "", warm.c_str());
  }
  if (!state.running_operation().empty())
    std::printf("  under way: %s\n", state.running_operation().c_str());
}

}  // namespace

int ShowStatus(const std::string& socket, const std::string& app) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  xpb::InspectRequest request;
  request.set_app(app);
  xpb::InspectResponse response;
  const grpc::Status status = Connect(socket)->Inspect(&context, request, &response);
  if (!status.ok()) return Report(status, socket);
  if (response.applications().empty()) std::printf("no application on this host\n");
  for (const xpb::ApplicationState& state : response.applications()) Print(state);
  return 0;
}

int RollBackHere(const std::string& socket, const std::string& app) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));
  xpb::RollbackLocallyRequest request;
  request.set_app(app);
  request.set_actor(Actor());
  xpb::RollbackLocallyResponse response;
  const grpc::Status status = Connect(socket)->RollbackLocally(&context, request, &response);
  if (!status.ok()) return Report(status, socket);
  if (!response.result().succeeded()) {
    std::fprintf(stderr, "slipway-executor: %s\n", response.result().summary().c_str());
    return 1;
  }
  std::printf("%s: %s serves again; %s\n", app.c_str(), response.release().c_str(),
              response.result().summary().c_str());
  return 0;
}

}  // namespace slipway::executor
