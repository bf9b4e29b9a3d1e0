// The labels of one service of a compose document, in either of compose's spellings (list or object).
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace slipway::executor {

void SetLabel(nlohmann::json& service, const std::string& name, const std::string& value);

// Drops the labels by which the executor finds what it made (`slipway.*`): the file does not get to set
// them.
void DropOurLabels(nlohmann::json& service);

}  // namespace slipway::executor
