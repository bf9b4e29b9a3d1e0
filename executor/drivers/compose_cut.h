// Cuts one normalised compose file into shared services, two slots, workers, hooks and builds.
// Pure: a document goes in, documents come out.
//
// - shared: project PROJECT (the application's name, or an existing installation's); everything
//   that is neither slotted nor a worker, with the volumes and networks.
// - slot: project APP-blue or APP-green; the slotted services on a private network of the slot,
//   where they find each other by name; the published port is the slot's. The executor connects the
//   containers to `slot_networks` before they start, without a name there, so that nobody reaches a
//   candidate by name.
// - workers: project APP-workers; on the shared networks and on the front network.
// - hooks: project APP-hooks; one service `hook-NAME` per hook, a copy of its service with another
//   command.
// - jobs: project APP-jobs; services that run to their end before the candidate starts.
// - builds: one service per distinct build, named by the digest of its inputs.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include <nlohmann/json.hpp>

#include "common/protos.h"
#include "executor/drivers/compose_binds.h"
#include "executor/drivers/workload.h"
#include "executor/paths.h"

#include "slipway/v1/releases.pb.h"

namespace slipway::executor {

struct CutInput {
  StagedRelease release;
  // The normalised document, values restored; port_variable, if there is one, had the blue port.
  nlohmann::json document;
  // The same with the green port, for files that use the variable for more than the published port;
  // null otherwise.
  nlohmann::json green_document;
  // Absolute path of the unpacked release.
  std::filesystem::path release_folder;
  // For the digests of build inputs.
  const pb::Manifest* manifest = nullptr;
  // COMPOSE_PROFILES of the env file.
  std::string profiles = {};
  // Puts values in place of tokens, where the document still has them: definitions and builds are
  // named by what they really are.
  std::function<void(nlohmann::json&)> restore = {};
  // Of the env file's text, which the manifest does not list.
  std::string env_digest = {};
  // State directories of an adopted installation, by their paths in the release.
  std::map<std::string, std::string> adopted = {};
  Paths paths{"/"};
  // For the containers' labels.
  std::string executor_id = {};
  // Where slots publish, such as 127.0.0.1.
  std::string address;
};

struct BuildPlan {
  std::string image;
  std::string digest;
  // Relative to the release's folder; empty for all of it.
  std::string context;
  // The compose `build` section; its context is to be replaced by the folder it is built from.
  nlohmann::json section;
};

// Everything that later steps need, and all of it can be written to a file and read back.
struct CutResult {
  nlohmann::json shared;
  nlohmann::json blue;
  nlohmann::json green;
  nlohmann::json workers;
  nlohmann::json hooks;
  nlohmann::json jobs;
  // In the order in which they run.
  std::vector<std::string> job_order;
  // Shared services that start after the jobs, for they wait for one.
  std::set<std::string> after_jobs;
  // What the serving slot's services are called on the front network, beside their own names.
  std::map<std::string, std::vector<std::string>> aliases;
  std::vector<BuildPlan> builds;
  // Image per service of any kind.
  std::map<std::string, std::string> images;
  std::set<std::string> shared_services;
  // Digest of each shared service's definition, and what it is made of; see compose_definition.h.
  std::map<std::string, std::string> definitions;
  std::map<std::string, nlohmann::json> parts;
  // What is mounted from elsewhere than the release's own tree, and where it is mounted; see
  // compose_binds.h.
  std::vector<PlannedBind> binds;
  std::vector<MountPoint> mount_points;
  // Paths of the release that each shared service mounts from the shared files.
  std::map<std::string, std::vector<std::string>> shared_paths;
  // Shared services that must be healthy before a candidate starts.
  std::set<std::string> awaited_healthy;
  // Real names of the shared networks of slotted services.
  std::vector<std::string> slot_networks;
  // Of these, the ones that the file takes from elsewhere: there the slotted services have no names.
  std::vector<std::string> external_slot_networks;
  // The slot's only service has no private network: it is created on Docker's own bridge and leaves it
  // before it starts. Each network takes one of Docker's few address ranges and costs 30 ms when a
  // container starts and 100 ms when it stops. Only where nothing else depends on it: Docker publishes
  // a container's ports through the network whose name sorts first, and moves them, cutting
  // connections, when the container joins one that sorts before, as the front would.
  bool leaves_slot_network = false;
  // True when slotted services depend on each other, so that compose must start them in order.
  bool ordered_start = false;
  // The shared project's networks and volumes: [{key, name, definition}], in the engine's terms by
  // EnsureShared.
  nlohmann::json networks;
  nlohmann::json volumes;
  // Host ports of the shared services, for preflight.
  std::map<std::string, std::vector<uint32_t>> shared_ports;
};

// INVALID_COMPOSE_FILE that names the service and key.
absl::StatusOr<CutResult> CutCompose(const CutInput& input);

nlohmann::json ToJson(const CutResult& result);
absl::StatusOr<CutResult> CutFromJson(const nlohmann::json& document);

}  // namespace slipway::executor
