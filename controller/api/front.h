// The API on one listener: its own services and server, behind its own guard; on the operators' socket one for each user. Everything that they call is shared.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/impl/codegen/service_type.h>

#include "common/grpc_server.h"
#include "controller/access/enrolments.h"
#include "controller/access/guard.h"
#include "controller/access/trusts.h"
#include "controller/access/upkeep.h"
#include "controller/api/hosts_service.h"
#include "controller/api/preview.h"
#include "controller/catalog/checks.h"
#include "controller/catalog/releases.h"
#include "controller/catalog/upload_quota.h"
#include "controller/fleet/convergence.h"
#include "controller/fleet/host_registry.h"
#include "controller/fleet/reconciler.h"
#include "controller/rollout/admission.h"
#include "controller/rollout/event_hub.h"

namespace slipway::controller {

// All of it outlives every front.
struct FrontParts {
  Store& store;
  SecretBox& box;
  ReleaseFiles& files;
  EventHub& hub;
  Fleet& fleet;
  HostRegistry& registry;
  Convergence& convergence;
  Reconciler& reconciler;
  Applications& applications;
  Releases& releases;
  Checks& checks;
  UploadQuota& upload_quota;
  Admission& admission;
  Attendance& attendance;
  Preview& preview;
  Tokens& tokens;
  Trusts& trusts;
  Enrolments& enrolments;
  Certificates& certificates;
  Audit& audit;
  Upkeep& upkeep;
  HostsService::About about;
};

class Front {
 public:
  static absl::StatusOr<std::unique_ptr<Front>> Open(Guard guard, const FrontParts& parts,
                                                     GrpcServerOptions options);
  // Takes no new calls; those under way are cut after the time.
  void Close(std::chrono::milliseconds after);

 private:
  // The API behind one guard.
  struct Api {
    explicit Api(Guard callers) : guard(std::move(callers)) {}
    const Guard guard;
    std::vector<std::unique_ptr<grpc::Service>> services;
  };

  Front(Guard guard, const FrontParts& parts) : guard_(std::move(guard)), parts_(parts) {}
  UserServices Serve(Guard guard);

  const Guard guard_;
  const FrontParts parts_;
  // Added to by the server's thread. Each stays where it is.
  std::vector<std::unique_ptr<Api>> apis_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace slipway::controller
