// --role, as several verbs have it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "common/enum_word.h"
#include "common/protos.h"

#include "slipway/v1/access.pb.h"

namespace slipway::cli {

inline void AddRole(CLI::App& command, std::string& role) {
  command.add_option("--role", role, "viewer, deployer or operator")
      ->capture_default_str()
      ->check(CLI::IsMember({"viewer", "deployer", "operator"}));
}

inline pb::Role RoleOf(const std::string& word) {
  return word == "viewer"     ? pb::ROLE_VIEWER
         : word == "deployer" ? pb::ROLE_DEPLOYER
                              : pb::ROLE_OPERATOR;
}

}  // namespace slipway::cli
