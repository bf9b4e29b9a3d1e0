// The Docker Engine over its unix socket: what compose cannot do in a millisecond (inspect, start,
// stop), or at all (networks with aliases, events). Speaks API 1.41, the one of Docker 20.10, where the
// Engine still does, and else the oldest version that it speaks.
//
// Statuses: NOT_FOUND (404), ALREADY_EXISTS (409), INVALID_ARGUMENT (400), INTERNAL (other), each
// with Docker's own message; UNAVAILABLE when dockerd does not listen, ABORTED when it went away in
// the middle, DEADLINE_EXCEEDED, CANCELLED. Safe from several threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/cancellation.h"
#include "common/mutex.h"
#include "executor/drivers/docker_addresses.h"

namespace slipway::executor {

struct HttpRequest;
struct HttpResponse;

struct DockerPort {
  // As `8000/tcp`.
  std::string container_port;
  std::string host_address;
  uint32_t host_port = 0;
};

struct DockerContainer {
  std::string id;
  // Without the leading slash.
  std::string name;
  // created, running, paused, restarting, removing, exited, dead
  std::string state;
  // starting, healthy, unhealthy; empty without a health check.
  std::string health;
  int exit_code = 0;
  int restart_count = 0;
  bool out_of_memory = false;
  bool tty = false;
  int pid = 0;
  std::string started_at;
  // The image as the container names it, and its digest-like id.
  std::string image;
  std::string image_id;
  std::map<std::string, std::string> labels;
  std::vector<DockerPort> ports;
  // Sources of its bind mounts.
  std::vector<std::string> binds;
  // How long Docker lets it end when it is stopped, if it was created with a time of its own.
  std::optional<std::chrono::seconds> stop_timeout;
  // Network name to the aliases there.
  std::map<std::string, std::vector<std::string>> networks;

  bool running() const { return state == "running"; }
  // Empty when it has no such label.
  std::string Label(const std::string& key) const {
    const auto found = labels.find(key);
    return found == labels.end() ? "" : found->second;
  }
};

// A host path that a container has mounted.
struct DockerMount {
  std::string container;
  std::string source;
};

struct DockerImage {
  std::string id;
  std::vector<std::string> tags;
  std::map<std::string, std::string> labels;
  uint64_t bytes = 0;
  // Where it declares volumes; by InspectImage() only.
  std::vector<std::string> volumes;
};

struct DockerNetwork {
  std::string id;
  std::string name;
  std::map<std::string, std::string> labels;
};

struct DockerVolume {
  std::string name;
  std::map<std::string, std::string> labels;
};

struct DockerSubnet {
  // CIDR; empty leaves the choice to Docker, as in every field here.
  std::string subnet;
  std::string range;
  std::string gateway;
  // Host name to an address that Docker gives to nobody.
  std::map<std::string, std::string> reserved;
};

// What a network is made with.
struct DockerNetworkSpec {
  std::string name;
  std::map<std::string, std::string> labels;
  std::string driver;
  std::map<std::string, std::string> options;
  bool internal = false;
  bool attachable = false;
  bool ipv6 = false;
  std::string address_driver;
  std::map<std::string, std::string> address_options;
  std::vector<DockerSubnet> subnets;
};

struct DockerEvent {
  // container, network ...
  std::string type;
  // start, die, oom, health_status: healthy ...
  std::string action;
  std::string id;
  // The container's labels, and among them exitCode, image, name.
  std::map<std::string, std::string> attributes;
};

struct ExecResult {
  int exit_code = 0;
  // Both outputs as they came, at most 64 KiB.
  std::string output;
};

using DockerLabels = std::map<std::string, std::string>;

class DockerEngine {
 public:
  // One line of a container's output; false ends the stream.
  using LineSink = std::function<bool(absl::string_view line)>;

  explicit DockerEngine(std::string socket = "/var/run/docker.sock",
                        std::chrono::nanoseconds timeout = std::chrono::seconds(30))
      : socket_(std::move(socket)), timeout_(timeout) {}

  absl::Status Ping();
  // Which version of the API to speak with an Engine whose oldest and newest are these, as /version says
  // them. FAILED_PRECONDITION for one that is too old.
  static absl::StatusOr<std::string> ChooseApi(absl::string_view oldest, absl::string_view newest);

  // The Engine's version, as 20.10.24.
  absl::StatusOr<std::string> Version();

  // Containers, also stopped ones, that have all the labels (an empty value asks for the key
  // alone). List() fills in id, name, state, labels, image, ports, binds and networks without aliases;
  // Inspect() everything.
  absl::StatusOr<std::vector<DockerContainer>> List(const DockerLabels& labels);
  absl::StatusOr<DockerContainer> Inspect(const std::string& id,
                                          Cancellation* cancellation = nullptr);
  // List and Inspect; a container that goes away in between is left out.
  absl::StatusOr<std::vector<DockerContainer>> InspectAll(const DockerLabels& labels);
  // The bind mounts of every container, running or not, whoever made it.
  absl::StatusOr<std::vector<DockerMount>> Mounts();
  // The running container that publishes the TCP port on this host; NOT_FOUND.
  absl::StatusOr<DockerContainer> OwnerOfPort(uint32_t port);

  // Starting what runs, stopping what has stopped and removing what is gone is fine.
  absl::Status Start(const std::string& id);
  // The container's stop signal, and SIGKILL after `grace`.
  absl::Status Stop(const std::string& id, std::chrono::seconds grace);
  // Waits for the end of a container that was started; answers its exit code, at once when it has
  // ended already.
  absl::StatusOr<int> Wait(const std::string& id, Cancellation* cancellation);
  // Kills it when it runs. Anonymous volumes go with it.
  absl::Status Remove(const std::string& id);

  // The last lines, oldest first.
  absl::StatusOr<std::vector<std::string>> Tail(const std::string& id, int lines);
  // From the last `tail` lines on (-1: all) until the container ends, without `follow` until its
  // present end.
  absl::Status StreamLogs(const std::string& id, bool follow, int tail, Cancellation* cancellation,
                          const LineSink& sink);

  // Runs a command in a running container. At the time-out it answers DEADLINE_EXCEEDED; Docker has
  // no way to end the command, which goes on.
  absl::StatusOr<ExecResult> Exec(const std::string& id, const std::vector<std::string>& argv,
                                  std::chrono::nanoseconds timeout);

  absl::StatusOr<DockerImage> InspectImage(const std::string& image);
  absl::StatusOr<bool> ImageExists(const std::string& image);
  absl::StatusOr<std::vector<DockerImage>> ListImages(const DockerLabels& labels);
  // Takes this name off the image, which goes when it has no other; one that is in use is
  // ALREADY_EXISTS.
  absl::Status RemoveImage(const std::string& image);

  absl::StatusOr<std::vector<DockerNetwork>> ListNetworks(const DockerLabels& labels);
  // The id; a network of this name that is there already is fine, and keeps what it was made with.
  absl::StatusOr<std::string> CreateNetwork(const DockerNetworkSpec& spec);
  // Of the drivers that answer.
  absl::StatusOr<std::vector<DockerVolume>> ListVolumes();
  // A volume of this name that is there already is fine, and keeps what it was made with.
  absl::Status CreateVolume(const std::string& name, const std::string& driver,
                            const std::map<std::string, std::string>& options,
                            const DockerLabels& labels);
  // Being connected already is fine, though with the aliases of then.
  absl::Status Connect(const std::string& network, const std::string& container,
                       const std::vector<std::string>& aliases);
  // Not being connected is fine.
  absl::Status Disconnect(const std::string& network, const std::string& container);
  absl::Status RemoveNetwork(const std::string& network);
  // Of the Engine's address pools, counted by its networks and by the routes of this host.
  absl::StatusOr<AddressPieces> CountAddressPieces();

  // Container events of containers with all the labels, as they happen, until the sink answers false, or CANCELLED; with
  // `since` (seconds since 1970) also the last ones since then, of which Docker keeps 256. `on_connected` (may be empty) is
  // called when nothing is missed any more: look at the containers after that.
  absl::Status Events(const DockerLabels& labels, int64_t since, Cancellation* cancellation,
                      const std::function<void()>& on_connected,
                      const std::function<bool(const DockerEvent&)>& sink);

 private:
  // The version of the API to speak with this Engine, as `/v1.41`; asked once.
  absl::StatusOr<std::string> Api();
  absl::StatusOr<HttpRequest> MakeRequest(const std::string& method, const std::string& path);
  // Any status of 400 and above becomes an error.
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request);
  absl::StatusOr<HttpResponse> Send(const std::string& method, const std::string& path,
                                    const std::string& json_body = "");
  // An id or a name as it may stand in a path.
  static absl::StatusOr<std::string> PathPart(const std::string& name);

  const std::string socket_;
  const std::chrono::nanoseconds timeout_;
  Mutex mutex_;
  // Empty until the Engine has answered.
  std::string api_ SLIPWAY_GUARDED_BY(mutex_);
};

}  // namespace slipway::executor
