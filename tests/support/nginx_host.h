// A real nginx with its own folder, configuration and loopback address, and two applications behind
// it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <sys/types.h>
#include <thread>

#include "executor/drivers/nginx.h"
#include "executor/process/process_runner.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_server.h"

namespace slipway::testing {

class NginxHost {
 public:
  // Writes the configuration: one site on port 8080 that passes to gifty_backend, whose file is
  // conf.d/gifty.conf. The slots answer "blue" on 8000 and "green" on 8001, the front door says
  // which.
  NginxHost();
  ~NginxHost();

  // The guide's upstream file, as a script writes it.
  void WriteScriptsUpstream(uint32_t port);
  void WriteSite(const std::string& name, const std::string& text);
  void RemoveSite(const std::string& name);
  // Starts nginx and waits until it listens.
  void Start();
  void Stop();
  // As another program on the host would.
  void ReloadByOthers();

  executor::NginxOptions Options() const;
  executor::NginxSite Site() const;
  std::unique_ptr<executor::NginxDriver> Driver();
  // Body of a fresh request through the front door, or the error.
  std::string Ask() const;
  std::string FileText() const;
  const std::string& address() const { return address_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  std::vector<std::string> Argv(std::initializer_list<std::string> more) const;

  TemporaryFolder folder_;
  std::string address_;
  executor::SystemProcessRunner runner_;
  std::thread master_;
  std::unique_ptr<TinyServer> blue_;
  std::unique_ptr<TinyServer> green_;
};

}  // namespace slipway::testing
