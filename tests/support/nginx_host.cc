#include "tests/support/nginx_host.h"

#include <cstdio>
#include <cstdlib>
#include <signal.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"

#include "common/clock.h"
#include "common/file.h"
#include "executor/drivers/http_client.h"

namespace slipway::testing {
namespace {

constexpr uint32_t kFrontDoor = 8080;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

}  // namespace

NginxHost::NginxHost() {
  // Test programs run side by side; each has an address of its own, and so all the ports.
  address_ = absl::StrCat("127.0.", 100 + getpid() / 250 % 100, ".", 2 + getpid() % 250);
  for (const char* name : {"conf.d", "sites", "temp"}) Require(MakeFolders(folder() / name));
  Require(WriteFileAtomically(folder() / "nginx.conf", absl::Substitute(R"(user root;
daemon off;
worker_processes 2;
pid $0/nginx.pid;
error_log $0/error.log notice;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $0/temp/body;
  proxy_temp_path $0/temp/proxy;
  fastcgi_temp_path $0/temp/fastcgi;
  uwsgi_temp_path $0/temp/uwsgi;
  scgi_temp_path $0/temp/scgi;
  include $0/conf.d/*.conf;
  include $0/sites/*;
}
)",
                                                                        folder().string())));
  WriteSite("gifty", absl::Substitute(R"(server {
  listen $0:$1;
  location / {
    proxy_pass http://gifty_backend;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
  }
}
)",
                                      address_, kFrontDoor));
  blue_ = std::make_unique<TinyServer>(address_, uint16_t{8000}, [](const std::string&) {
    return TinyServer::Answer{200, "blue", "", ""};
  });
  green_ = std::make_unique<TinyServer>(address_, uint16_t{8001}, [](const std::string&) {
    return TinyServer::Answer{200, "green", "", ""};
  });
}

NginxHost::~NginxHost() { Stop(); }

std::vector<std::string> NginxHost::Argv(std::initializer_list<std::string> more) const {
  std::vector<std::string> argv = {"/usr/sbin/nginx",
                                   "-p",
                                   folder().string(),
                                   "-c",
                                   (folder() / "nginx.conf").string(),
                                   "-e",
                                   (folder() / "error.log").string()};
  argv.insert(argv.end(), more);
  return argv;
}

void NginxHost::WriteScriptsUpstream(uint32_t port) {
  Require(WriteFileAtomically(
      folder() / "conf.d/gifty.conf",
      absl::StrCat("upstream gifty_backend { server ", address_, ":", port, "; }\n")));
}

void NginxHost::WriteSite(const std::string& name, const std::string& text) {
  Require(WriteFileAtomically(folder() / "sites" / name, text));
}

void NginxHost::RemoveSite(const std::string& name) {
  std::filesystem::remove(folder() / "sites" / name);
}

// In the foreground: the runner ends what a command leaves behind, a daemon included.
void NginxHost::Start() {
  master_ = std::thread([this] {
    executor::Command command;
    command.argv = Argv({});
    command.timeout = std::chrono::hours(1);
    const auto result = runner_.Run(command);
    Require(result.status());
    if (!result->ok()) Require(absl::InternalError(result->standard_error));
  });
  while (!executor::ProcReader().NginxMaster(folder() / "nginx.pid").ok()) usleep(2000);
}

void NginxHost::Stop() {
  const auto master = executor::ProcReader().NginxMaster(folder() / "nginx.pid");
  if (master.ok()) kill(*master, SIGTERM);
  if (master_.joinable()) master_.join();
}

void NginxHost::ReloadByOthers() {
  const auto master = executor::ProcReader().NginxMaster(folder() / "nginx.pid");
  Require(master.status());
  kill(*master, SIGHUP);
}

executor::NginxOptions NginxHost::Options() const {
  executor::NginxOptions options;
  options.test = Argv({"-t"});
  options.reload = Argv({"-s", "reload"});
  options.pid_file = folder() / "nginx.pid";
  options.error_log = folder() / "error.log";
  options.address = address_;
  return options;
}

executor::NginxSite NginxHost::Site() const {
  executor::NginxSite site;
  site.app = "gifty";
  site.upstream = "gifty_backend";
  site.file = folder() / "conf.d/gifty.conf";
  site.marker = folder() / "gifty.green";
  site.proof_ports = {18710, 18711};
  site.blue_port = 8000;
  site.green_port = 8001;
  return site;
}

std::unique_ptr<executor::NginxDriver> NginxHost::Driver() {
  return std::make_unique<executor::NginxDriver>(runner_, SystemClock(), Options());
}

std::string NginxHost::Ask() const {
  executor::HttpRequest request;
  request.endpoint.address = address_;
  request.endpoint.port = kFrontDoor;
  const auto response = executor::SendHttp(request);
  if (!response.ok()) return response.status().ToString();
  return response->status == 200 ? response->body : absl::StrCat("status ", response->status);
}

std::string NginxHost::FileText() const {
  return ReadFile(folder() / "conf.d/gifty.conf").value_or("");
}

}  // namespace slipway::testing
