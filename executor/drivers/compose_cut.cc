#include "executor/drivers/compose_cut.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "common/spec.h"
#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_document.h"
#include "executor/drivers/compose_kinds.h"
#include "executor/drivers/compose_labels.h"
#include "executor/drivers/compose_port.h"
#include "executor/failure.h"
#include "executor/paths.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

absl::Status Wrong(absl::string_view service, absl::string_view what, absl::string_view cure = "") {
  return WrongService(service, what, cure);
}

json ServiceList(const json& service, const char* key) {
  const auto found = service.find(key);
  return found != service.end() && found->is_array() ? *found : json::array();
}

// The networks a service is on by their keys in the file; compose's default network when it names
// none.
std::set<std::string> NetworksOf(const json& service) {
  std::set<std::string> networks = NamesIn(service, "networks");
  if (networks.empty() && !service.contains("network_mode")) networks.insert("default");
  return networks;
}

// One container that nothing starts again.
void RunOnce(json& service) {
  const auto deploy = service.find("deploy");
  if (deploy == service.end() || !deploy->is_object()) return;
  for (const char* key : {"replicas", "restart_policy", "mode"}) deploy->erase(key);
}

class Cutter {
 public:
  explicit Cutter(CutInput input)
      : input_(std::move(input)),
        spec_(input_.release.spec),
        content_(*input_.manifest, spec_.compose().env_file(), input_.env_digest) {}

  absl::StatusOr<CutResult> Cut() {
    auto kinds = KindsOf(input_);
    if (!kinds.ok()) return kinds.status();
    kinds_ = *std::move(kinds);
    for (json* document : {&input_.document, &input_.green_document}) {
      if (document->is_null()) continue;
      if (absl::Status status = SettleReferences(kinds_, *document); !status.ok()) return status;
    }
    if (absl::Status status = PlanImages(input_, result_); !status.ok()) return status;
    if (absl::Status status = PlanBinds(); !status.ok()) return status;
    CutShared();
    if (absl::Status status = CutSlots(); !status.ok()) return status;
    CutWorkers();
    CutJobs();
    if (absl::Status status = CutHooks(); !status.ok()) return status;
    return std::move(result_);
  }

 private:
  const json& Services() const { return input_.document["services"]; }

  std::string RealName(const char* section, const std::string& key) const {
    return executor::RealName(input_.document, section, key, spec_.compose().project());
  }

  // True when Docker publishes the ports of a container through this network, also after the container has
  // joined the front network.
  bool Publishes(const std::string& key) const {
    const json network = input_.document.value("networks", json::object()).value(key, json());
    if (IsExternal(network)) return false;
    const bool plain =
        !network.is_object() || (!network.value("internal", false) &&
                                 network.value("driver", std::string("bridge")) == "bridge");
    return plain && RealName("networks", key) < FrontNetwork(input_.release.app);
  }

  // A section that names what the shared project made, for the other projects.
  json External(const char* section, const std::set<std::string>& keys) const {
    json entries = json::object();
    for (const std::string& key : keys) {
      entries[key] = {{"external", true}, {"name", RealName(section, key)}};
    }
    return entries;
  }

  // The named volumes that these services mount; they belong to the shared project.
  json VolumesOf(const json& services) const {
    const std::set<std::string> declared = NamesIn(input_.document, "volumes");
    std::set<std::string> used;
    for (const json& service : services) {
      for (const json& mount : ServiceList(service, "volumes")) {
        std::string source;
        if (mount.is_string())
          source = mount.get_ref<const std::string&>().substr(
              0, mount.get_ref<const std::string&>().find(':'));
        if (mount.is_object()) source = mount.value("source", "");
        if (declared.contains(source)) used.insert(source);
      }
    }
    return External("volumes", used);
  }

  absl::Status PlanBinds() {
    BindInput binds;
    binds.document = &input_.document;
    binds.app = input_.release.app;
    binds.release = input_.release.release;
    binds.release_folder = input_.release_folder;
    binds.content = &content_;
    for (const std::string& path : spec_.compose().state()) {
      const auto resolved = content_.Resolve(path);
      if (resolved.ok()) binds.state.insert(*resolved);
    }
    binds.shared_services = kinds_.shared;
    binds.adopted = input_.adopted;
    binds.paths = input_.paths;
    auto plan = BindPlan::Make(binds);
    if (!plan.ok()) return plan.status();
    binds_.emplace(*std::move(plan));
    volumes_ = input_.document.value("volumes", json::object());
    binds_->RewriteVolumes(volumes_);
    result_.binds = binds_->Separate();
    result_.mount_points.assign(binds_->MountPoints().begin(), binds_->MountPoints().end());
    return absl::OkStatus();
  }

  json CopyService(const json& services, const std::string& name, absl::string_view role) const {
    json service = services[name];
    service.erase("build");
    service.erase("profiles");
    // Two slots cannot have it; there it is an alias of the one that serves.
    if (role != "shared" && role != "worker") service.erase("container_name");
    // Its variables are in `environment` already; read again, the file might have been changed.
    service.erase("env_file");
    binds_->Rewrite(name, service);
    DropOurLabels(service);
    service["image"] = result_.images.at(name);
    SetLabel(service, kLabelApp, input_.release.app);
    SetLabel(service, kLabelExecutor, input_.executor_id);
    SetLabel(service, kLabelRole, std::string(role));
    SetLabel(service, kLabelRelease, input_.release.release);
    if (const auto grace = StopGraceOf(service))
      SetLabel(service, kLabelGrace, absl::StrCat(grace->count()));
    return service;
  }

  // What `name` depends on among `kept`, in the long form with conditions that both versions read.
  static json KeepDependencies(const json& service, const std::set<std::string>& kept) {
    json depends = json::object();
    const auto found = service.find("depends_on");
    for (const std::string& other : NamesIn(service, "depends_on")) {
      if (!kept.contains(other)) continue;
      depends[other] = {{"condition", found->is_object()
                                          ? (*found)[other].value("condition", "service_started")
                                          : "service_started"}};
    }
    return depends;
  }

  static void SetDependencies(json& service, json depends) {
    if (depends.empty()) {
      service.erase("depends_on");
    } else {
      service["depends_on"] = std::move(depends);
    }
  }

  json Project(json services, json networks, json volumes, bool shared = false) const {
    json project = {{"services", std::move(services)}};
    if (!networks.empty()) project["networks"] = std::move(networks);
    if (!volumes.empty()) project["volumes"] = std::move(volumes);
    for (const char* section : {"configs", "secrets"}) {
      if (!input_.document.contains(section)) continue;
      project[section] = input_.document[section];
      binds_->RewriteFiles(project[section], shared);
    }
    // Without it compose 1 takes the file for its oldest format.
    project["version"] = "3.9";
    return project;
  }

  void CutShared() {
    const std::set<std::string>& kept = kinds_.shared;
    json services = json::object();
    for (const std::string& name : kept) {
      json service = CopyService(Services(), name, "shared");
      SetDependencies(service, KeepDependencies(service, kept));
      result_.shared_paths[name] = binds_->SharedPathsOf(name);
      const json parts = DefinitionParts(input_, content_, result_, name);
      result_.parts[name] = parts;
      result_.definitions[name] = DefinitionOf(parts);
      SetLabel(service, kLabelDefinition, result_.definitions[name]);
      SetLabel(service, kLabelParts, absl::StrReplaceAll(parts.dump(), {{"$", "$$"}}));
      for (const json& entry : ServiceList(service, "ports")) {
        if (const auto port = ParseComposePort(entry); port && port->published != 0) {
          result_.shared_ports[name].push_back(port->published);
        }
      }
      services[name] = std::move(service);
    }
    result_.shared_services = kept;
    result_.after_jobs = kinds_.after_jobs;
    json networks = input_.document.value("networks", json::object());
    PlanResources();
    result_.shared = Project(std::move(services), std::move(networks), volumes_, /*shared=*/true);
    const std::set<std::string> jobs(kinds_.jobs.begin(), kinds_.jobs.end());
    for (const auto& names : {kinds_.slotted, kinds_.workers, jobs}) {
      for (const std::string& name : names) {
        const json depends = KeepDependencies(Services()[name], kept);
        for (const auto& item : depends.items()) {
          if (item.value()["condition"] == "service_healthy")
            result_.awaited_healthy.insert(item.key());
        }
      }
    }
  }

  // Compose creates what the shared services use; what only slots, workers and hooks use must be
  // there for them too.
  void PlanResources() {
    std::set<std::string> networks;
    for (const auto& item : Services().items()) {
      const std::set<std::string> of_service = NetworksOf(item.value());
      networks.insert(of_service.begin(), of_service.end());
    }
    const auto plan = [&](const char* section, const json& definitions,
                          const std::set<std::string>& keys) {
      json resources = json::array();
      for (const std::string& key : keys) {
        json entry = json::object();
        if (definitions.is_object() && definitions.contains(key) && definitions[key].is_object())
          entry = definitions[key];
        if (IsExternal(entry)) continue;
        resources.push_back(
            {{"key", key}, {"name", RealName(section, key)}, {"definition", std::move(entry)}});
      }
      return resources;
    };
    result_.networks =
        plan("networks", input_.document.value("networks", json::object()), networks);
    result_.volumes = plan("volumes", volumes_, NamesIn(input_.document, "volumes"));
  }

  // Which published port is the slot's: the one that port_variable gave (it was set to the blue
  // port while compose normalised the file), else the only one there is.
  absl::StatusOr<std::pair<std::string, size_t>> FindSlotPort() const {
    std::vector<std::pair<std::string, size_t>> published;
    for (const std::string& name : kinds_.slotted) {
      const json ports = ServiceList(Services()[name], "ports");
      for (size_t i = 0; i < ports.size(); ++i) {
        const auto port = ParseComposePort(ports[i]);
        if (!port) return Wrong(name, absl::StrCat("cannot read the port ", ports[i].dump()));
        if (port->published == 0) continue;
        if (!spec_.port_variable().empty() && port->published != spec_.slots().blue()) {
          return Wrong(
              name,
              absl::StrCat("publishes port ", port->published, ", which two slots cannot share"),
              "move the service out of compose.slotted, or publish only the slot's port");
        }
        published.emplace_back(name, i);
      }
    }
    if (published.size() == 1) return published.front();
    return Wrong(*kinds_.slotted.begin(),
                 absl::StrCat("the slotted services publish ", published.size(),
                              " ports where one is needed, the slot's"),
                 spec_.port_variable().empty() ? "set port_variable in slipway.yaml"
                                               : "publish exactly one port, by port_variable");
  }

  // Alone in its slot, it has no network of the slot's, which would tell it its own names. At least two
  // names in one entry, for when the slot leaves the front network, Docker takes away every entry
  // that has only the name it had there.
  static void NameItself(json& service, const std::string& service_name,
                         std::vector<std::string> names) {
    names.insert(names.begin(), service_name);
    names.push_back(absl::StrCat(service_name, ".slot"));
    const std::string name = absl::StrJoin(names, " ");
    json& hosts = service["extra_hosts"];
    if (hosts.is_object()) {
      hosts.emplace(name, "127.0.0.1");
    } else {
      if (!hosts.is_array()) hosts = json::array();
      hosts.push_back(absl::StrCat(name, ":127.0.0.1"));
    }
  }

  // The slotted services as one slot runs them, from the document that was made for it.
  absl::StatusOr<json> SlotServices(const json& document, pb::Slot slot,
                                    const std::pair<std::string, size_t>& slot_port) {
    json services = json::object();
    for (const std::string& name : kinds_.slotted) {
      json service = CopyService(document["services"], name, "slot");
      if (service.contains("network_mode")) {
        return Wrong(name, "network_mode does not go with two slots",
                     "remove it from this service");
      }
      json depends = KeepDependencies(service, kinds_.slotted);
      result_.ordered_start |= !depends.empty();
      SetDependencies(service, std::move(depends));
      const std::vector<std::string> aliases = AliasesOf(document["services"][name]);
      if (!aliases.empty()) result_.aliases[name] = aliases;
      if (result_.leaves_slot_network) {
        service.erase("networks");
        service["network_mode"] = "bridge";
        NameItself(service, name, aliases);
      } else {
        service["networks"] = json::array({"default"});
        if (!aliases.empty()) service["networks"] = {{"default", {{"aliases", aliases}}}};
      }
      SetLabel(service, kLabelSlot, SlotWord(slot));
      services[name] = std::move(service);
    }
    json& ports = services[slot_port.first]["ports"];
    for (size_t i = 0; i < ports.size(); ++i) {
      const auto port = ParseComposePort(ports[i]);
      if (!port)
        return Wrong(slot_port.first, absl::StrCat("cannot read the port ", ports[i].dump()));
      const std::string target = absl::StrCat(port->target, "/", port->protocol);
      // Compose takes a list in one spelling only.
      ports[i] = i == slot_port.second
                     ? absl::StrCat(input_.address, ":", PortOf(spec_, slot), ":", target)
                     : target;
    }
    return services;
  }

  absl::Status CutSlots() {
    const auto slot_port = FindSlotPort();
    if (!slot_port.ok()) return slot_port.status();
    std::set<std::string> networks;
    for (const std::string& name : kinds_.slotted) {
      const std::set<std::string> of_service = NetworksOf(Services()[name]);
      networks.insert(of_service.begin(), of_service.end());
    }
    for (const std::string& network : networks) {
      result_.slot_networks.push_back(RealName("networks", network));
      if (IsExternal(input_.document.value("networks", json::object()).value(network, json())))
        result_.external_slot_networks.push_back(result_.slot_networks.back());
    }
    result_.leaves_slot_network =
        kinds_.slotted.size() == 1 &&
        std::any_of(networks.begin(), networks.end(),
                    [this](const std::string& key) { return Publishes(key); });
    for (const pb::Slot slot : {pb::SLOT_BLUE, pb::SLOT_GREEN}) {
      const bool own = slot == pb::SLOT_GREEN && !input_.green_document.is_null();
      auto services = SlotServices(own ? input_.green_document : input_.document, slot, *slot_port);
      if (!services.ok()) return services.status();
      json volumes = VolumesOf(*services);
      (slot == pb::SLOT_BLUE ? result_.blue : result_.green) =
          Project(*std::move(services), json::object(), std::move(volumes));
    }
    return absl::OkStatus();
  }

  // Networks for a service outside the shared project: the shared ones and the front, all external.
  json JoinNetworks(json& service, std::set<std::string>& used) const {
    for (const std::string& network : NetworksOf(service)) {
      used.insert(network);
      if (!service["networks"].is_object()) service["networks"] = json::object();
      if (!service["networks"].contains(network)) service["networks"][network] = nullptr;
    }
    service["networks"]["slipway_front"] = nullptr;
    return service;
  }

  json NetworksWithFront(const std::set<std::string>& used) const {
    json networks = External("networks", used);
    networks["slipway_front"] = {{"external", true}, {"name", FrontNetwork(input_.release.app)}};
    return networks;
  }

  static void ListToObject(json& service) {
    if (!service.contains("networks") || !service["networks"].is_array()) return;
    json object = json::object();
    for (const json& name : service["networks"]) object[name.get<std::string>()] = nullptr;
    service["networks"] = std::move(object);
  }

  void CutWorkers() {
    json services = json::object();
    std::set<std::string> used;
    for (const std::string& name : kinds_.workers) {
      json service = CopyService(Services(), name, "worker");
      SetDependencies(service, KeepDependencies(service, kinds_.workers));
      ListToObject(service);
      if (!service.contains("network_mode")) JoinNetworks(service, used);
      services[name] = std::move(service);
    }
    json volumes = VolumesOf(services);
    result_.workers = Project(std::move(services), NetworksWithFront(used), std::move(volumes));
  }

  void CutJobs() {
    json services = json::object();
    std::set<std::string> used;
    for (const std::string& name : kinds_.jobs) {
      json service = CopyService(Services(), name, "job");
      for (const char* key : {"ports", "depends_on", "restart", "scale"}) service.erase(key);
      RunOnce(service);
      ListToObject(service);
      if (!service.contains("network_mode")) JoinNetworks(service, used);
      services[name] = std::move(service);
    }
    result_.job_order = kinds_.jobs;
    json volumes = VolumesOf(services);
    result_.jobs = Project(std::move(services), NetworksWithFront(used), std::move(volumes));
  }

  absl::Status CutHooks() {
    json services = json::object();
    std::set<std::string> used;
    for (const auto* hooks : {&spec_.hooks().before_switch(), &spec_.hooks().after_switch()}) {
      for (const pb::Hook& hook : *hooks) {
        if (!Services().contains(hook.service())) {
          return Wrong(hook.service(),
                       absl::StrCat("hook ", hook.name(), " names this service; there is none"));
        }
        json service = CopyService(Services(), hook.service(), "hook");
        for (const char* key : {"ports", "depends_on", "restart", "healthcheck", "expose", "scale"})
          service.erase(key);
        RunOnce(service);
        service["command"] =
            json(std::vector<std::string>(hook.command().begin(), hook.command().end()));
        for (json& word : service["command"]) {
          std::string escaped;
          for (const char c : word.get_ref<const std::string&>())
            escaped.append(c == '$' ? 2 : 1, c);
          word = escaped;
        }
        ListToObject(service);
        if (!service.contains("network_mode")) JoinNetworks(service, used);
        services[absl::StrCat("hook-", hook.name())] = std::move(service);
      }
    }
    json volumes = VolumesOf(services);
    result_.hooks = Project(std::move(services), NetworksWithFront(used), std::move(volumes));
    return absl::OkStatus();
  }

  CutInput input_;
  const pb::ApplicationSpec& spec_;
  const ReleaseContent content_;
  ServiceKinds kinds_;
  std::optional<BindPlan> binds_;
  // The file's `volumes`, binds of the release's directories replaced.
  json volumes_;
  CutResult result_;
};

}  // namespace

absl::StatusOr<CutResult> CutCompose(const CutInput& input) { return Cutter(input).Cut(); }

}  // namespace slipway::executor
