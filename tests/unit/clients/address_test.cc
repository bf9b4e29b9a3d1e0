#include "clients/transport/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"

namespace slipway {
namespace {

TEST(Address, ReadsEveryForm) {
  EXPECT_EQ(*ParseAddress("unix:///run/x.sock"),
            (Address{Scheme::kUnix, "", "", 0, "/run/x.sock"}));
  EXPECT_EQ(*ParseAddress("ssh://deploy@203.0.113.7:2222/run/x.sock"),
            (Address{Scheme::kSsh, "deploy", "203.0.113.7", 2222, "/run/x.sock"}));
  EXPECT_EQ(*ParseAddress("ssh://web-1"),
            (Address{Scheme::kSsh, "", "web-1", 22, "/run/slipway/controller.sock"}));
  EXPECT_EQ(*ParseAddress("ssh://web-1/", Peer::kExecutor),
            (Address{Scheme::kSsh, "", "web-1", 22, "/run/slipway/executor.sock"}));
  EXPECT_EQ(*ParseAddress("ssh://u@[2001:db8::1]:22/s"),
            (Address{Scheme::kSsh, "u", "2001:db8::1", 22, "/s"}));
  EXPECT_EQ(*ParseAddress("tls://deploy.example.org"),
            (Address{Scheme::kTls, "", "deploy.example.org", 9781, ""}));
  EXPECT_EQ(*ParseAddress("tls://[::1]:1/"), (Address{Scheme::kTls, "", "::1", 1, ""}));
  EXPECT_EQ(*ParseAddress("https://deploy.example.org"),
            (Address{Scheme::kHttps, "", "deploy.example.org", 443, ""}));
  // No executor stands behind a web server.
  EXPECT_FALSE(ParseAddress("https://web-1.example.org", Peer::kExecutor).ok());
}

TEST(Address, WritesWhatItReads) {
  for (const char* text :
       {"unix:///run/x.sock", "ssh://deploy@203.0.113.7:2222/run/x.sock", "ssh://web-1:22/s",
        "ssh://u@[2001:db8::1]:22/s", "tls://deploy.example.org:9781", "tls://[::1]:1",
        "https://deploy.example.org:443"}) {
    EXPECT_EQ(ToString(*ParseAddress(text)), text);
  }
}

TEST(Address, RefusesWhatCouldBeTakenForSomethingElse) {
  const std::string long_path = "unix:///" + std::string(107, 'x');
  for (const std::string& text : std::vector<std::string>{"",
                                                          "/run/x.sock",
                                                          "unix://run/x.sock",
                                                          "http://x",
                                                          "unix:///run/\nx",
                                                          std::string("unix:///run/\0x", 14),
                                                          long_path,
                                                          "ssh://",
                                                          "ssh://-oProxyCommand=x",
                                                          "ssh://-l@host",
                                                          "ssh://a b@host",
                                                          "ssh://u@ho st",
                                                          "ssh://u@h;id",
                                                          "ssh://u@$(id)",
                                                          "ssh://u@host:0",
                                                          "ssh://u@host:65536",
                                                          "ssh://u@host:+22",
                                                          "ssh://u@host:22x",
                                                          "ssh://u@host:",
                                                          "ssh://u@[::1",
                                                          "ssh://u@[::1]22",
                                                          "ssh://u@[host]",
                                                          "ssh://u@a@b",
                                                          "ssh://u:secret@host",
                                                          "tls://",
                                                          "tls://host/path",
                                                          "tls://user@host",
                                                          "tls://.host"}) {
    const auto parsed = ParseAddress(text);
    EXPECT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(DetailOf(parsed.status()).reason(), "BAD_ADDRESS") << text;
  }
}

}  // namespace
}  // namespace slipway
