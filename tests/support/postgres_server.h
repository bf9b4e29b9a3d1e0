// A real PostgreSQL server in a folder of its own, for the tests: on a unix socket, where everybody is let in, and on a loopback
// port, where the password is asked for. It goes away with the object, and with the test program however that ends.
#pragma once

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"
#include "controller/store/postgres.h"
#include "tests/support/temporary_folder.h"

namespace slipway::testing {

class PostgresServer {
 public:
  static constexpr char kPassword[] = "correct horse";

  // One for the whole test program.
  static PostgresServer& Shared();

  // Started. Settings are name=value; nothing is synced to the disk unless they say so.
  explicit PostgresServer(std::vector<std::string> settings = {});
  ~PostgresServer();

  void Start();
  void Stop();
  // As when the machine goes down: nothing is put in order, the next Start() recovers from the log.
  void Crash();

  // By the unix socket.
  controller::PostgresOptions Options(const std::string& database) const;
  // By the port, or another that leads there, with the password in a file.
  controller::PostgresOptions TcpOptions(const std::string& database, int port = 0) const;
  int port() const { return port_; }
  // A new empty database's name.
  std::string NewDatabase();
  // In the database, as its superuser; the first column of the first row.
  std::string Ask(const std::string& database, const std::string& sql) const;

 private:
  std::vector<std::string> AsServersUser(std::vector<std::string> argv) const;
  void HearLine(absl::string_view line);
  // The postmaster, by its signal.
  void End(int signal);

  TemporaryFolder folder_;
  const std::vector<std::string> settings_;
  int port_ = 0;
  int databases_ = 0;
  std::thread runs_;
  Mutex mutex_;
  CondVar changed_;
  std::string log_ SLIPWAY_GUARDED_BY(mutex_);
  bool ready_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool ended_ SLIPWAY_GUARDED_BY(mutex_) = false;
};

}  // namespace slipway::testing
