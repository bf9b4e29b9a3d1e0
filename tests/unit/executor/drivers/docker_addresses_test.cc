#include "executor/drivers/docker_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::executor {
namespace {

std::vector<Subnet> Subnets(const std::vector<std::string>& texts) {
  std::vector<Subnet> subnets;
  for (const std::string& text : texts) subnets.push_back(ParseSubnet(text).value());
  return subnets;
}

uint64_t FreeOfDefault(const std::vector<std::string>& taken) {
  return CountPieces(DefaultAddressPools(), Subnets(taken)).free;
}

TEST(DockerAddresses, AnEngineThatNamesNoPoolsHasThirtyOnePieces) {
  const AddressPieces pieces = CountPieces(DefaultAddressPools(), {});
  EXPECT_EQ(pieces.total, 31u);
  EXPECT_EQ(pieces.free, 31u);
}

TEST(DockerAddresses, EachNetworkTakesThePiecesThatItOverlaps) {
  EXPECT_EQ(FreeOfDefault({"172.17.0.0/16"}), 30u);
  EXPECT_EQ(FreeOfDefault({"172.17.0.0/16", "172.17.0.0/16"}), 30u) << "counted once";
  EXPECT_EQ(FreeOfDefault({"172.20.3.0/24", "172.20.4.0/24"}), 30u) << "in one piece";
  EXPECT_EQ(FreeOfDefault({"192.168.15.0/24", "192.168.16.0/24"}), 29u);
  EXPECT_EQ(FreeOfDefault({"192.168.0.0/18"}), 27u);
  EXPECT_EQ(FreeOfDefault({"10.0.0.0/8"}), 31u);
  EXPECT_EQ(FreeOfDefault({"172.16.0.0/12", "192.168.0.0/16"}), 0u);
  EXPECT_EQ(FreeOfDefault({"0.0.0.0/0"}), 0u);
}

TEST(DockerAddresses, CountsMillionsOfPiecesAtOnce) {
  const std::vector<AddressPool> pools = {{*ParseSubnet("10.0.0.0/8"), 30}};
  const AddressPieces pieces = CountPieces(pools, Subnets({"10.1.0.0/16", "10.1.2.0/24"}));
  EXPECT_EQ(pieces.total, uint64_t{1} << 22);
  EXPECT_EQ(pieces.free, (uint64_t{1} << 22) - (uint64_t{1} << 14));
}

TEST(DockerAddresses, ReadsTheRoutingTableWithoutItsDefaultRoutes) {
  const auto routed = RoutedSubnets(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t0105A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t0005A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
      "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n");
  ASSERT_EQ(routed.size(), 2u);
  EXPECT_EQ(CountPieces(DefaultAddressPools(), routed).free, 29u);
  EXPECT_EQ(routed[0].address, (192u << 24) | (168u << 16) | (5u << 8));
  EXPECT_EQ(routed[0].bits, 24);
  EXPECT_EQ(routed[1].bits, 16);
}

TEST(DockerAddresses, WhatIsNoIpv4NetworkIsNone) {
  for (const char* text : {"", "172.17.0.0", "172.17.0.0/33", "172.17.0.0/-1", "fd00::/64", "x/8"})
    EXPECT_FALSE(ParseSubnet(text).has_value()) << text;
}

}  // namespace
}  // namespace slipway::executor
