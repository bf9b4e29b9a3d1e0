#include "tests/support/postgres_server.h"

#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "common/file.h"
#include "executor/process/process_runner.h"

namespace slipway::testing {
namespace {

constexpr char kUser[] = "slipway";
// PostgreSQL refuses to run as root.
constexpr char kServersUser[] = "postgres";

[[noreturn]] void Give(const std::string& problem) {
  std::fprintf(stderr, "PostgreSQL's server: %s (is the package postgresql installed?)\n",
               problem.c_str());
  std::abort();
}

void Require(const absl::Status& status) {
  if (!status.ok()) Give(status.ToString());
}

// Where the newest version's programs are.
std::string Program(const std::string& name) {
  int newest = 0;
  std::error_code error;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    newest = std::max(newest, std::atoi(version.path().filename().c_str()));
  }
  return absl::StrCat("/usr/lib/postgresql/", newest, "/bin/", name);
}

int FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    Give("no free port");
  }
  return ntohs(address.sin_port);
}

void GiveToServersUser(const std::filesystem::path& path) {
  if (geteuid() != 0) return;
  const passwd* user = getpwnam(kServersUser);
  if (user == nullptr) Give("there is no user postgres");
  if (chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) Give("chown");
}

}  // namespace

PostgresServer& PostgresServer::Shared() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer(std::vector<std::string> settings)
    : settings_(std::move(settings)), port_(FreePort()) {
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0711));
  for (const char* name : {"data", "run"}) {
    std::filesystem::create_directory(folder_.path() / name);
    GiveToServersUser(folder_.path() / name);
  }
  const std::string password = folder_.path() / "password";
  Require(WriteFileAtomically(password, kPassword, 0600));
  const std::string servers = folder_.path() / "run" / "password";
  Require(WriteFileAtomically(servers, kPassword, 0600));
  GiveToServersUser(servers);
  executor::Command command;
  command.argv = AsServersUser({Program("initdb"), "-D", folder_.path() / "data", "-U", kUser,
                                "--auth-local=trust", "--auth-host=scram-sha-256",
                                absl::StrCat("--pwfile=", servers), "--no-sync",
                                "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"});
  const auto done = executor::SystemProcessRunner().Run(command);
  Require(done.status());
  if (!done->ok()) Give(absl::StrCat("initdb: ", done->standard_error));
  Start();
}

PostgresServer::~PostgresServer() {
  if (runs_.joinable()) Stop();
}

std::vector<std::string> PostgresServer::AsServersUser(std::vector<std::string> argv) const {
  // A change of the user forgets the signal that the runner asked for.
  std::vector<std::string> whole = {"setpriv", "--pdeathsig", "QUIT"};
  if (geteuid() == 0) {
    whole.insert(whole.end(), {"--reuid", kServersUser, "--regid", kServersUser, "--clear-groups"});
  }
  whole.insert(whole.end(), argv.begin(), argv.end());
  return whole;
}

void PostgresServer::Start() {
  std::vector<std::string> argv = {Program("postgres"),
                                   "-D",
                                   folder_.path() / "data",
                                   "-k",
                                   folder_.path() / "run",
                                   "-p",
                                   absl::StrCat(port_),
                                   "-h",
                                   "127.0.0.1"};
  for (const char* setting : {"fsync=off", "shared_buffers=32MB", "max_connections=50"}) {
    argv.insert(argv.end(), {"-c", setting});
  }
  for (const std::string& setting : settings_) argv.insert(argv.end(), {"-c", setting});
  {
    MutexLock lock(mutex_);
    ready_ = ended_ = false;
    log_.clear();
  }
  runs_ = std::thread([this, argv = AsServersUser(argv)] {
    executor::Command command;
    command.argv = argv;
    command.timeout = std::chrono::hours(2);
    command.on_line = [this](absl::string_view line) { HearLine(line); };
    static_cast<void>(executor::SystemProcessRunner().Run(command));
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
  });
  MutexLock lock(mutex_);
  while (!ready_ && !ended_) changed_.Wait(mutex_);
  if (!ready_) Give(absl::StrCat("does not start:\n", log_));
}

void PostgresServer::HearLine(absl::string_view line) {
  MutexLock lock(mutex_);
  absl::StrAppend(&log_, line, "\n");
  if (!absl::StrContains(line, "ready to accept connections")) return;
  ready_ = true;
  changed_.NotifyAll();
}

void PostgresServer::Stop() { End(SIGINT); }

void PostgresServer::Crash() { End(SIGQUIT); }

void PostgresServer::End(int signal) {
  const auto file = ReadFile(folder_.path() / "data" / "postmaster.pid");
  Require(file.status());
  kill(std::atoi(file->c_str()), signal);
  runs_.join();
}

controller::PostgresOptions PostgresServer::Options(const std::string& database) const {
  controller::PostgresOptions options;
  options.conninfo = absl::StrCat("host=", (folder_.path() / "run").string(), " port=", port_,
                                  " user=", kUser, " dbname=", database);
  return options;
}

controller::PostgresOptions PostgresServer::TcpOptions(const std::string& database,
                                                       int port) const {
  controller::PostgresOptions options;
  options.conninfo = absl::StrCat("host=127.0.0.1 port=", port == 0 ? port_ : port, " user=", kUser,
                                  " dbname=", database);
  options.password_file = folder_.path() / "password";
  return options;
}

std::string PostgresServer::NewDatabase() {
  const std::string name = absl::StrCat("test", ++databases_);
  Ask("postgres", absl::StrCat("CREATE DATABASE ", name));
  return name;
}

std::string PostgresServer::Ask(const std::string& database, const std::string& sql) const {
  const auto connection = controller::PostgresConnection::Connect(Options(database));
  Require(connection.status());
  const auto rows = (*connection)->Query(sql, {});
  Require(rows.status());
  const auto row = (*rows)->Next();
  return row.ok() && *row ? (*rows)->Text(0) : "";
}

}  // namespace slipway::testing
