// How many more networks the Docker Engine can give addresses to. A network without a subnet of its
// own takes a piece of the Engine's address pools; by default there are 31 pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace slipway::executor {

// An IPv4 network; `bits` is the length of its prefix, 0 to 32.
struct Subnet {
  uint32_t address = 0;
  int bits = 0;

  bool Overlaps(const Subnet& other) const;
};

// Of CIDR text, such as 172.17.0.0/16; nothing for anything else, an IPv6 network among it.
std::optional<Subnet> ParseSubnet(absl::string_view text);

// What gives the Engine more of them.
inline constexpr char kMoreAddresses[] =
    "let /etc/docker/daemon.json say {\"default-address-pools\": [{\"base\": \"172.16.0.0/12\", "
    "\"size\": 24}, {\"base\": \"192.168.0.0/16\", \"size\": 24}]} and restart docker; `docker "
    "network ls` shows what takes them";

struct AddressPool {
  Subnet base;
  // Prefix length of the pieces.
  int size = 0;
};

// The pools of an Engine whose configuration names none.
std::vector<AddressPool> DefaultAddressPools();

// Networks that this host's routing table has (/proc/net/route), default routes left out: the Engine
// takes no piece that overlaps one of them.
std::vector<Subnet> RoutedSubnets(absl::string_view routes);

struct AddressPieces {
  uint64_t total = 0;
  uint64_t free = 0;
};
// A piece is free when it overlaps none of the subnets.
AddressPieces CountPieces(const std::vector<AddressPool>& pools, const std::vector<Subnet>& taken);

}  // namespace slipway::executor
