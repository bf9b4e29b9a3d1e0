// What the verbs around hosts share.
#pragma once

#include <string>
#include <vector>

#include "clients/cli/verb.h"

namespace slipway::cli {

struct HostsOptions {
  std::string host;
  std::string app;
  // Where to install, USER@HOST[:PORT].
  std::string ssh;
  // Where an executor is already.
  std::string address;
  int tls_port = 0;
  std::string executor;
  std::vector<std::string> labels;
  // Why it is cordoned.
  std::string reason;
};

int AddHost(Session& session, const HostsOptions& options);
int UpgradeHost(Session& session, const HostsOptions& options);
int RemoveHost(Session& session, const HostsOptions& options);
int CordonHost(Session& session, const HostsOptions& options);
// Cordons it, and answers when nothing is under way there any more.
int DrainHost(Session& session, const HostsOptions& options);
int UncordonHost(Session& session, const HostsOptions& options);
// Exit code 1 when a host has a problem.
int CheckHosts(Session& session, const std::vector<std::string>& hosts, const std::string& app);

}  // namespace slipway::cli
