#include "executor/drivers/compose_labels.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace slipway::executor {

using nlohmann::json;

void SetLabel(json& service, const std::string& name, const std::string& value) {
  json& labels = service["labels"];
  if (labels.is_array()) {
    labels.push_back(absl::StrCat(name, "=", value));
  } else {
    if (!labels.is_object()) labels = json::object();
    labels[name] = value;
  }
}

void DropOurLabels(json& service) {
  const auto labels = service.find("labels");
  if (labels == service.end()) return;
  json kept = labels->is_array() ? json::array() : json::object();
  for (const auto& item : labels->items()) {
    const std::string name = labels->is_array() && item.value().is_string()
                                 ? item.value().get<std::string>()
                                 : item.key();
    if (absl::StartsWith(name, "slipway.")) continue;
    if (labels->is_array()) {
      kept.push_back(item.value());
    } else {
      kept[item.key()] = item.value();
    }
  }
  *labels = std::move(kept);
}

}  // namespace slipway::executor
