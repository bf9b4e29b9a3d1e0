#include "executor/drivers/compose_kinds.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "executor/drivers/compose_definition.h"
#include "executor/drivers/compose_document.h"

namespace slipway::executor {
namespace {

using nlohmann::json;

std::string KindWord(const ServiceKinds& kinds, const std::string& name) {
  if (kinds.slotted.contains(name)) return "slotted";
  if (kinds.workers.contains(name)) return "a worker";
  return kinds.IsJob(name) ? "a job" : "shared";
}

// Services that somebody waits for to end, and that nothing restarts.
std::set<std::string> AwaitedToEnd(const json& services) {
  std::set<std::string> awaited;
  for (const json& service : services) {
    const auto depends = service.find("depends_on");
    if (depends == service.end() || !depends->is_object()) continue;
    for (const auto& item : depends->items()) {
      if (item.value().is_object() &&
          item.value().value("condition", "") == "service_completed_successfully" &&
          services.contains(item.key()) && services[item.key()].value("restart", "no") == "no") {
        awaited.insert(item.key());
      }
    }
  }
  return awaited;
}

// Depth first; a circle is compose's to refuse.
void AddInOrder(const json& services, const std::set<std::string>& jobs, const std::string& name,
                std::set<std::string>& seen, std::vector<std::string>& order) {
  if (!jobs.contains(name) || !seen.insert(name).second) return;
  for (const std::string& other : NamesIn(services[name], "depends_on"))
    AddInOrder(services, jobs, other, seen, order);
  order.push_back(name);
}

absl::Status CheckNamed(const CutInput& input, const std::string& name) {
  const json& services = input.document["services"];
  if (!services.contains(name)) {
    return WrongService(name,
                        "slipway.yaml names this service; the compose file has none of that name");
  }
  if (!IsInactive(services[name], input.profiles)) return absl::OkStatus();
  return WrongService(
      name,
      absl::StrCat("is in profile ", services[name]["profiles"][0].dump(), ", which is not active"),
      "set COMPOSE_PROFILES in the application's environment (`slipway env set`)");
}

}  // namespace

bool ServiceKinds::IsJob(const std::string& name) const {
  return std::find(jobs.begin(), jobs.end(), name) != jobs.end();
}

std::set<std::string> NamesIn(const json& service, const char* key) {
  std::set<std::string> names;
  const auto found = service.find(key);
  if (found == service.end()) return names;
  if (found->is_object()) {
    for (const auto& item : found->items()) names.insert(item.key());
  } else if (found->is_array()) {
    for (const auto& item : *found) names.insert(item.get<std::string>());
  }
  return names;
}

absl::StatusOr<ServiceKinds> KindsOf(const CutInput& input) {
  const pb::ComposeSpec& spec = input.release.spec.compose();
  const json& services = input.document["services"];
  ServiceKinds kinds;
  kinds.slotted.insert(spec.slotted().begin(), spec.slotted().end());
  kinds.workers.insert(spec.workers().begin(), spec.workers().end());
  std::set<std::string> jobs(spec.jobs().begin(), spec.jobs().end());
  for (const auto* names : {&kinds.slotted, &kinds.workers, &jobs}) {
    for (const std::string& name : *names) {
      if (absl::Status status = CheckNamed(input, name); !status.ok()) return status;
    }
  }
  for (const std::string& name : AwaitedToEnd(services)) {
    if (kinds.slotted.contains(name) || kinds.workers.contains(name)) {
      return WrongService(
          name,
          "runs to its end before others start (service_completed_successfully), so "
          "it is a job, and neither slotted nor a worker",
          absl::StrCat("take ", name, " out of compose.",
                       kinds.slotted.contains(name) ? "slotted" : "workers",
                       " in slipway.yaml; it is run by itself"));
    }
    jobs.insert(name);
  }
  std::set<std::string> seen;
  for (const std::string& name : jobs) AddInOrder(services, jobs, name, seen, kinds.jobs);
  for (const auto& item : services.items()) {
    const std::string& name = item.key();
    if (kinds.slotted.contains(name) || kinds.workers.contains(name) || jobs.contains(name) ||
        IsInactive(item.value(), input.profiles)) {
      continue;
    }
    kinds.shared.insert(name);
  }
  for (bool more = true; more;) {
    more = false;
    for (const std::string& name : kinds.shared) {
      if (kinds.after_jobs.contains(name)) continue;
      for (const std::string& other : NamesIn(services[name], "depends_on")) {
        if (!jobs.contains(other) && !kinds.after_jobs.contains(other)) continue;
        more |= kinds.after_jobs.insert(name).second;
      }
    }
  }
  return kinds;
}

absl::Status SettleReferences(const ServiceKinds& kinds, json& document) {
  json& services = document["services"];
  for (auto& item : services.items()) {
    const std::string& name = item.key();
    json& service = item.value();
    const std::string kind = KindWord(kinds, name);
    const auto across = [&](const std::string& other, absl::string_view key,
                            absl::string_view cure) -> absl::Status {
      if (!services.contains(other) || KindWord(kinds, other) == kind) return absl::OkStatus();
      return WrongService(
          name,
          absl::StrCat(key, " of ", other, ", which is ", KindWord(kinds, other), " where ", name,
                       " is ", kind, ": they run in different compose projects"),
          cure);
    };
    for (const char* key : {"network_mode", "pid", "ipc"}) {
      absl::string_view value;
      if (service.contains(key) && service[key].is_string())
        value = service[key].get_ref<const std::string&>();
      if (!absl::StartsWith(value, "service:")) continue;
      absl::Status status =
          across(std::string(value.substr(8)), key, "make both of the same kind in slipway.yaml");
      if (!status.ok()) return status;
    }
    if (service.contains("links") && service["links"].is_array()) {
      json kept = json::array();
      for (const json& link : service["links"]) {
        const std::vector<std::string> words =
            absl::StrSplit(link.is_string() ? link.get<std::string>() : "", ':');
        const bool renames = words.size() > 1 && words[1] != words[0];
        if (across(words[0], "", "").ok()) {
          kept.push_back(link);
        } else if (renames) {
          return across(words[0], absl::StrCat("the link `", words[1], "`"),
                        absl::StrCat("give ", words[0], " the network alias ", words[1],
                                     " in place of the link"));
        }
      }
      service.erase("links");
      if (!kept.empty()) service["links"] = std::move(kept);
    }
    const auto networks = service.find("networks");
    if (!kinds.slotted.contains(name) || networks == service.end() || !networks->is_object())
      continue;
    for (const auto& network : networks->items()) {
      for (const char* key : {"ipv4_address", "ipv6_address"}) {
        if (!network.value().is_object() || !network.value().contains(key)) continue;
        return WrongService(
            name,
            absl::StrCat("networks.", network.key(), ".", key, " cannot be that of two slots"),
            "leave it out; others find the service by its name");
      }
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> AliasesOf(const json& service) {
  std::set<std::string> aliases;
  const auto networks = service.find("networks");
  if (networks != service.end() && networks->is_object()) {
    for (const json& network : *networks) {
      if (!network.is_object()) continue;
      for (const json& alias : network.value("aliases", json::array()))
        if (alias.is_string()) aliases.insert(alias.get<std::string>());
    }
  }
  const auto name = service.find("container_name");
  if (name != service.end() && name->is_string()) aliases.insert(name->get<std::string>());
  return {aliases.begin(), aliases.end()};
}

}  // namespace slipway::executor
