#include "tests/walk/walked_host.h"

#include <fstream>
#include <utility>

#include "common/digest.h"
#include "common/file.h"
#include "common/manifest.h"
#include "tests/support/file_tree.h"

namespace slipway::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kComposeFile[] = "services: {web: {image: web}}\n";

void Put(BlobStore& blobs, const std::string& content) {
  auto writer = blobs.Create(Sha256Of(content));
  if (!writer.ok()) return;
  (*writer)->Append(content).IgnoreError();
  (*writer)->Commit().IgnoreError();
}

// The managed file of an application lies in each host's own nginx folder.
void UseFilesOf(SimulatedNginx& nginx, google::protobuf::Message& message) {
  if (message.GetDescriptor() == pb::ApplicationSpec::descriptor()) {
    auto& spec = static_cast<pb::ApplicationSpec&>(message);
    spec.mutable_nginx()->set_file(nginx.FileOf(spec.app()).string());
    return;
  }
  const auto* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) UseFilesOf(nginx, *reflection->MutableMessage(&message, field));
  }
}

}  // namespace

std::string ManifestOfWalks() { return OneFileTree(kComposeFile).SerializeAsString(); }

std::string ManifestDigestOfWalks() { return Sha256Of(ManifestOfWalks()); }

WalkedHost::WalkedHost(std::string name, fs::path folder, std::string address, Clock& clock,
                       Gate gate)
    : name_(std::move(name)),
      folder_(std::move(folder)),
      address_(std::move(address)),
      clock_(clock),
      paths_(folder_ / "state"),
      nginx_(folder_ / "nginx", address_,
             [this, gate](const auto& effect) { return !dead_ && gate(*this, effect); }),
      docker_(
          [this, gate](const auto& effect) { return !dead_ && gate(*this, effect); },
          [this](const std::string& app, uint32_t port) { return nginx_.PortFor(app) == port; }) {
  nginx_.Start();
  Boot();
}

WalkedHost::~WalkedHost() {
  dead_ = true;
  operations_.reset();
}

void WalkedHost::PutBlobs() {
  Put(releases_->Blobs(), kComposeFile);
  Put(releases_->Blobs(), ManifestOfWalks());
}

void WalkedHost::Boot() {
  journal_ = *executor::Journal::Open(paths_.Journal());
  releases_ = *executor::ReleaseStore::Open(paths_);
  PutBlobs();
  site_ = std::make_unique<executor::StaticSite>(*releases_, clock_, paths_);
  driver_ =
      std::make_unique<executor::NginxDriver>(nginx_, clock_, nginx_.Options(), nginx_.Proc());
  health_ = std::make_unique<executor::HealthGate>(docker_, clock_);
  executor::HostSettings settings;
  settings.address = address_;
  settings.least_free_bytes = 0;
  steps_ = std::make_unique<executor::Steps>(executor::StepParts{*journal_, *releases_, docker_,
                                                                 *site_, *driver_, *health_, clock_,
                                                                 paths_, nginx_.Proc(), settings});
  operations_ = std::make_unique<executor::Operations>(
      *journal_, clock_,
      [this](const auto& request, const auto& call) { return steps_->Run(request, call); }, [] {});
  dead_ = suspended_ = false;
  steps_->Recover();
}

absl::StatusOr<xpb::StepResult> WalkedHost::Execute(xpb::ExecuteRequest request) {
  UseFilesOf(nginx_, request);
  // As the controller sends what the host lacks of a release.
  if (request.has_stage()) PutBlobs();
  return operations_->Execute(request, [](absl::string_view) { return true; });
}

absl::StatusOr<xpb::InspectResponse> WalkedHost::Inspect(const std::string& app) {
  xpb::InspectResponse response;
  auto state = steps_->Inspect(app);
  if (!state.ok()) return state.status();
  *response.add_applications() = *std::move(state);
  return response;
}

void WalkedHost::Die(const std::vector<std::string>& apps) {
  disk_.clear();
  const auto keep = [this](const fs::path& path) {
    const auto text = ReadFile(path);
    disk_[path.string()] = text.ok() ? std::optional<std::string>(*text) : std::nullopt;
  };
  keep(paths_.Journal());
  for (const std::string& app : apps) {
    keep(nginx_.FileOf(app));
    keep(paths_.Marker(app));
  }
  dead_ = true;
}

void WalkedHost::Suspend() {
  suspended_ = true;
  operations_->Suspend();
}

void WalkedHost::Restart() {
  operations_.reset();
  steps_.reset();
  journal_.reset();
  for (const auto& [path, text] : disk_) {
    fs::remove(path);
    if (!text) continue;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << *text;
  }
  disk_.clear();
  Boot();
}

}  // namespace slipway::testing
