// The file that a cut is kept in between the steps.
#include "absl/strings/str_cat.h"

#include "executor/drivers/compose_cut.h"

namespace slipway::executor {

using nlohmann::json;

json ToJson(const CutResult& result) {
  json builds = json::array();
  for (const BuildPlan& plan : result.builds) {
    builds.push_back({{"image", plan.image},
                      {"digest", plan.digest},
                      {"context", plan.context},
                      {"section", plan.section}});
  }
  json binds = json::array();
  for (const PlannedBind& bind : result.binds) {
    binds.push_back({{"path", bind.path},
                     {"place", bind.place},
                     {"file", bind.file},
                     {"adopted", bind.adopted},
                     {"source", bind.source}});
  }
  json mount_points = json::array();
  for (const MountPoint& point : result.mount_points) {
    mount_points.push_back(
        {{"base", point.base}, {"path", point.path}, {"file", point.file}, {"place", point.place}});
  }
  return {{"shared", result.shared},
          {"blue", result.blue},
          {"green", result.green},
          {"workers", result.workers},
          {"hooks", result.hooks},
          {"jobs", result.jobs},
          {"job_order", result.job_order},
          {"after_jobs", result.after_jobs},
          {"aliases", result.aliases},
          {"builds", builds},
          {"images", result.images},
          {"shared_services", result.shared_services},
          {"awaited_healthy", result.awaited_healthy},
          {"slot_networks", result.slot_networks},
          {"external_slot_networks", result.external_slot_networks},
          {"leaves_slot_network", result.leaves_slot_network},
          {"ordered_start", result.ordered_start},
          {"networks", result.networks},
          {"volumes", result.volumes},
          {"definitions", result.definitions},
          {"parts", result.parts},
          {"binds", std::move(binds)},
          {"mount_points", std::move(mount_points)},
          {"shared_paths", result.shared_paths},
          {"shared_ports", result.shared_ports}};
}

absl::StatusOr<CutResult> CutFromJson(const json& written) {
  // A release that an older executor has staged has none of these, and can still be gone back to.
  json document = {{"jobs", {{"services", json::object()}}},
                   {"job_order", json::array()},
                   {"after_jobs", json::array()},
                   {"aliases", json::object()},
                   {"parts", json::object()},
                   {"binds", json::array()},
                   {"mount_points", json::array()},
                   {"shared_paths", json::object()},
                   {"external_slot_networks", json::array()}};
  if (written.is_object()) document.update(written);
  // Written by ToJson() and by nobody else; anything unreadable is a damaged file, not a user's
  // mistake.
  try {
    CutResult result;
    result.shared = document.at("shared");
    result.blue = document.at("blue");
    result.green = document.at("green");
    result.workers = document.at("workers");
    result.hooks = document.at("hooks");
    result.jobs = document.at("jobs");
    document.at("job_order").get_to(result.job_order);
    document.at("after_jobs").get_to(result.after_jobs);
    document.at("aliases").get_to(result.aliases);
    for (const json& plan : document.at("builds")) {
      result.builds.push_back(
          {plan.at("image"), plan.at("digest"), plan.at("context"), plan.at("section")});
    }
    document.at("images").get_to(result.images);
    document.at("shared_services").get_to(result.shared_services);
    document.at("awaited_healthy").get_to(result.awaited_healthy);
    document.at("slot_networks").get_to(result.slot_networks);
    document.at("external_slot_networks").get_to(result.external_slot_networks);
    document.at("leaves_slot_network").get_to(result.leaves_slot_network);
    document.at("ordered_start").get_to(result.ordered_start);
    result.networks = document.at("networks");
    result.volumes = document.at("volumes");
    document.at("definitions").get_to(result.definitions);
    document.at("parts").get_to(result.parts);
    for (const json& bind : document.at("binds")) {
      result.binds.push_back({bind.at("path"), bind.at("place").get<BindPlace>(), bind.at("file"),
                              bind.at("adopted"), bind.at("source")});
    }
    for (const json& point : document.at("mount_points")) {
      result.mount_points.push_back({point.at("base"), point.at("path"), point.at("file"),
                                     point.at("place").get<BindPlace>()});
    }
    document.at("shared_paths").get_to(result.shared_paths);
    document.at("shared_ports").get_to(result.shared_ports);
    return result;
  } catch (const json::exception& exception) {
    return absl::DataLossError(
        absl::StrCat("the release's generated state is damaged: ", exception.what()));
  }
}

}  // namespace slipway::executor
