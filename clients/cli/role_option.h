// --role, as several verbs have it.
#pragma once

#include <string>

#include "clients/cli/command_line.h"
#include "common/enum_word.h"
#include "common/protos.h"

#include "slipway/v1/access.pb.h"

namespace slipway::cli {

inline void AddRole(CommandLine& command, std::string& role) {
  command.AddOption("--role", role, "viewer, deployer or operator")
      .ShowDefault()
      .OneOf({"viewer", "deployer", "operator"});
}

inline pb::Role RoleOf(const std::string& word) {
  return word == "viewer"     ? pb::ROLE_VIEWER
         : word == "deployer" ? pb::ROLE_DEPLOYER
                              : pb::ROLE_OPERATOR;
}

}  // namespace slipway::cli
