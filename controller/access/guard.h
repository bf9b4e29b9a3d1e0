// The one door of the API: says who calls, and whether that may be. Every handler asks it first.
//
// A token that comes with the call says who it is, whatever it came through. Without one it is the client's certificate, and
// without that, on a socket whose openers are trusted, an operator by the name that the client gives.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include "common/clock.h"
#include "common/known_peers.h"
#include "controller/access/caller.h"
#include "controller/access/certificates.h"
#include "controller/access/tokens.h"

namespace slipway::controller {

// (token, certificate, none or policy; the error's reason)
using RefusalObserver = std::function<void(const std::string& kind, const std::string& reason)>;

// Safe from several threads.
class Guard {
 public:
  // Whom a listener takes for what, when they show nothing.
  enum class Openers { kOperators, kNobody };

  // `leads` answers why not (see NotLeader()); null for a controller that is alone. `known_peers` is told who has shown an identity;
  // may be null.
  Guard(Openers openers, Tokens& tokens, Certificates& certificates, Clock& clock,
        RefusalObserver refused, std::function<absl::Status()> leads = nullptr,
        std::shared_ptr<KnownPeers> known_peers = nullptr)
      : openers_(openers),
        tokens_(tokens),
        certificates_(certificates),
        clock_(clock),
        refused_(std::move(refused)),
        leads_(std::move(leads)),
        known_peers_(std::move(known_peers)) {}

  // UNAUTHENTICATED (reason NO_IDENTITY, BAD_TOKEN, BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED) or
  // PERMISSION_DENIED as Allow() says; INTERNAL for an RPC without a row; UNAVAILABLE (reason NOT_LEADER) for what another
  // controller has to answer.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context,
                               const google::protobuf::Message& request) const;
  Openers openers() const { return openers_; }
  // OK for the controller that acts; else as Admit() says.
  absl::Status CheckLeads() const { return leads_ == nullptr ? absl::OkStatus() : leads_(); }
  // The guard of a socket's calls that this user of the machine makes, by the kernel's word.
  Guard ForUser(std::string user) const {
    Guard guard(*this);
    guard.user_ = std::move(user);
    return guard;
  }
  // Counts a refusal that a handler made.
  void Refused(const std::string& kind, const absl::Status& refusal) const;

 private:
  absl::StatusOr<Caller> Authenticate(const grpc::ServerContextBase& context,
                                      std::string& kind) const;

  // Of the socket's calls; empty where users are not told apart.
  std::string user_;
  const Openers openers_;
  Tokens& tokens_;
  Certificates& certificates_;
  Clock& clock_;
  const RefusalObserver refused_;
  const std::function<absl::Status()> leads_;
  const std::shared_ptr<KnownPeers> known_peers_;
};

}  // namespace slipway::controller
