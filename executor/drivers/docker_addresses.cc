#include "executor/drivers/docker_addresses.h"

#include <algorithm>
#include <arpa/inet.h>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace slipway::executor {
namespace {

// The bits of an address that a prefix of this length fixes.
uint32_t Mask(int bits) { return bits == 0 ? 0 : ~uint32_t{0} << (32 - bits); }

uint64_t SizeOf(int bits) { return uint64_t{1} << (32 - bits); }

uint64_t FirstOf(const Subnet& subnet) { return subnet.address & Mask(subnet.bits); }
uint64_t EndOf(const Subnet& subnet) { return FirstOf(subnet) + SizeOf(subnet.bits); }

}  // namespace

bool Subnet::Overlaps(const Subnet& other) const {
  const uint32_t shared = Mask(std::min(bits, other.bits));
  return (address & shared) == (other.address & shared);
}

std::optional<Subnet> ParseSubnet(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  in_addr address{};
  Subnet subnet;
  const bool valid = parts.size() == 2 && inet_pton(AF_INET, parts[0].c_str(), &address) == 1 &&
                     absl::SimpleAtoi(parts[1], &subnet.bits) && subnet.bits >= 0 &&
                     subnet.bits <= 32;
  if (!valid) return std::nullopt;
  subnet.address = ntohl(address.s_addr);
  return subnet;
}

std::vector<AddressPool> DefaultAddressPools() {
  std::vector<AddressPool> pools;
  for (uint32_t second = 17; second <= 31; ++second)
    pools.push_back({{(172u << 24) | (second << 16), 16}, 16});
  pools.push_back({{(192u << 24) | (168u << 16), 16}, 20});
  return pools;
}

std::vector<Subnet> RoutedSubnets(absl::string_view routes) {
  std::vector<Subnet> subnets;
  for (const absl::string_view line : absl::StrSplit(routes, '\n')) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...; addresses in the byte order of the
    // network, printed as a number of this machine's.
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    uint32_t destination = 0;
    uint32_t mask = 0;
    if (fields.size() < 8 || !absl::SimpleHexAtoi(fields[1], &destination) ||
        !absl::SimpleHexAtoi(fields[7], &mask) || mask == 0) {
      continue;
    }
    subnets.push_back({ntohl(destination), __builtin_popcount(mask)});
  }
  return subnets;
}

AddressPieces CountPieces(const std::vector<AddressPool>& pools, const std::vector<Subnet>& taken) {
  AddressPieces pieces;
  for (const AddressPool& pool : pools) {
    if (pool.size < pool.base.bits || pool.size > 32) continue;
    const uint64_t piece = SizeOf(pool.size);
    const uint64_t first = FirstOf(pool.base);
    const uint64_t end = EndOf(pool.base);
    const uint64_t count = (end - first) / piece;
    pieces.total += count;
    // Ranges of pieces that something overlaps; a pool may have millions, so none is visited alone.
    std::vector<std::pair<uint64_t, uint64_t>> covered;
    for (const Subnet& subnet : taken) {
      if (!subnet.Overlaps(pool.base)) continue;
      const uint64_t from = (std::max(FirstOf(subnet), first) - first) / piece;
      const uint64_t to = (std::min(EndOf(subnet), end) - first + piece - 1) / piece;
      covered.emplace_back(from, to);
    }
    std::sort(covered.begin(), covered.end());
    uint64_t used = 0;
    uint64_t counted_to = 0;
    for (const auto& [from, to] : covered) {
      if (to <= counted_to) continue;
      used += to - std::max(from, counted_to);
      counted_to = to;
    }
    pieces.free += count - used;
  }
  return pieces;
}

}  // namespace slipway::executor
