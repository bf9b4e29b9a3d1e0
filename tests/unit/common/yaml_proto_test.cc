#include "common/yaml_proto.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "common/durations.h"
#include "common/protos.h"
#include "common/status.h"

#include "slipway/config/v1/config.pb.h"
#include "slipway/v1/applications.pb.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string ErrorOf(absl::string_view text) {
  pb::ApplicationSpec spec;
  const absl::Status status = ParseYaml(text, "slipway.yaml", spec);
  if (status.ok()) return "ok";
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(status).reason(), "INVALID_YAML");
  return std::string(status.message());
}

pb::ApplicationSpec Parsed(absl::string_view text) {
  pb::ApplicationSpec spec;
  const absl::Status status = ParseYaml(text, "slipway.yaml", spec);
  EXPECT_TRUE(status.ok()) << status;
  return spec;
}

// Every field below `type`, as a file that sets it alone to a value of no kind in particular.
void FilesWithOneKey(const google::protobuf::Descriptor& type, const std::string& before,
                     const std::string& after, std::vector<std::string>& files) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    const bool list = field.is_repeated() && !field.is_map();
    const std::string key = absl::StrCat(before, "{", field.name(), ": ", list ? "[" : "");
    const std::string end = absl::StrCat(list ? "]" : "", "}", after);
    const bool message = field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE;
    if (message && !field.is_map() &&
        !absl::StartsWith(field.message_type()->full_name(), "google.")) {
      FilesWithOneKey(*field.message_type(), key, end, files);
    } else {
      files.push_back(absl::StrCat(key, "1", end));
    }
  }
}

TEST(YamlProto, CanSetEveryFieldOfWhatIsReadFromAFile) {
  pb::ApplicationSpec spec;
  config::v1::ControllerConfig controller;
  config::v1::ExecutorConfig executor;
  for (google::protobuf::Message* message :
       std::initializer_list<google::protobuf::Message*>{&spec, &controller, &executor}) {
    std::vector<std::string> files;
    FilesWithOneKey(*message->GetDescriptor(), "", "", files);
    EXPECT_GT(files.size(), 10u);
    for (const std::string& text : files) {
      message->Clear();
      const absl::Status status = ParseYaml(text, "file.yaml", *message);
      EXPECT_THAT(status.message(), Not(HasSubstr("cannot be set from a file"))) << text;
    }
  }
}

TEST(YamlProto, TakesNumbersOf64Bits) {
  config::v1::ControllerConfig config;
  const absl::Status status = ParseYaml("uploads: {keep_free_bytes: 1, file_bytes: 21474836480}",
                                        "controller.yaml", config);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(config.uploads().file_bytes(), uint64_t{20} << 30);
  EXPECT_EQ(config.uploads().keep_free_bytes(), 1u);
  EXPECT_FALSE(ParseYaml("uploads: {file_bytes: 18446744073709551616}", "f", config).ok());
}

TEST(YamlProto, FillsEveryKindOfField) {
  const pb::ApplicationSpec spec = Parsed(R"(
app: gifty
hosts: [web-1, web-2]
slots: {blue: 8000, green: 8001}
health:
  http:
    path: /health
    headers: {X-Up: "yes", "n": 1}
  timeout: 1m30s
nginx: {upstream: gifty, mode: marker, proof_ports: [18700, 18701]}
hooks:
  before_switch:
    - {name: migrate, service: api, command: [alembic, upgrade, head], once: true}
    - name: second
)");
  EXPECT_EQ(spec.app(), "gifty");
  EXPECT_THAT(spec.hosts(), ::testing::ElementsAre("web-1", "web-2"));
  EXPECT_EQ(spec.slots().green(), 8001u);
  EXPECT_EQ(FromProto(spec.health().timeout()), std::chrono::seconds(90));
  EXPECT_EQ(spec.health().http().headers().at("X-Up"), "yes");
  EXPECT_EQ(spec.health().http().headers().at("n"), "1");
  EXPECT_EQ(spec.nginx().mode(), pb::SWITCH_MODE_MARKER);
  EXPECT_THAT(spec.nginx().proof_ports(), ::testing::ElementsAre(18700u, 18701u));
  ASSERT_EQ(spec.hooks().before_switch_size(), 2);
  EXPECT_TRUE(spec.hooks().before_switch(0).once());
  EXPECT_EQ(spec.hooks().before_switch(1).name(), "second");
}

TEST(YamlProto, OfNothingLeavesTheMessageEmpty) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n", "~"}) {
    EXPECT_EQ(Parsed(text).ByteSizeLong(), 0u) << text;
  }
}

TEST(YamlProto, ChoosesAnEmptyMessageByItsName) {
  EXPECT_TRUE(Parsed("health: {tcp: }").health().has_tcp());
  EXPECT_TRUE(Parsed("health: {docker: {}}").health().has_docker());
}

TEST(YamlProto, NamesTheNearestKeyForAnUnknownOne) {
  EXPECT_EQ(ErrorOf("app: x\nhostss: [a]"),
            "slipway.yaml:2:1: unknown key `hostss`; did you mean `hosts`?");
  EXPECT_EQ(ErrorOf("health:\n  http:\n    pth: /x"),
            "slipway.yaml:3:5: health.http: unknown key `pth`; did you mean `path`?");
  // `http` is nearer than `tcp`, which also is at most two letters away.
  EXPECT_THAT(ErrorOf("health: {htp: {}}"), HasSubstr("did you mean `http`?"));
}

TEST(YamlProto, NamesAllKeysWhenNoneIsNear) {
  EXPECT_EQ(ErrorOf("slots:\n  yellow: 1"),
            "slipway.yaml:2:3: slots: unknown key `yellow`; known are blue, green");
}

TEST(YamlProto, RefusesAKeyThatComesTwice) {
  EXPECT_EQ(ErrorOf("app: a\nslots: {blue: 1}\napp: b"),
            "slipway.yaml:3:1: the key `app` comes twice");
  EXPECT_EQ(ErrorOf("slots: {blue: 1, green: 2, blue: 3}"),
            "slipway.yaml:1:28: slots: the key `blue` comes twice");
  EXPECT_EQ(ErrorOf("health: {http: {headers: {A: x, A: y}}}"),
            "slipway.yaml:1:33: health.http.headers: the key `A` comes twice");
  EXPECT_EQ(ErrorOf("health: {http: {json: {a: {b: 1, b: 2}}}}"),
            "slipway.yaml:1:34: health.http.json.a: the key `b` comes twice");
}

TEST(YamlProto, RefusesTwoMembersOfOneChoice) {
  EXPECT_EQ(ErrorOf("health:\n  http: {}\n  timeout: 5s\n  tcp: {}"),
            "slipway.yaml:4:3: health: `tcp` is one choice too many: only one probe may be given");
}

TEST(YamlProto, RefusesValuesOfAnotherType) {
  const std::pair<const char*, const char*> table[] = {
      {"app: [a]", "slipway.yaml:1:6: app: expected a single value"},
      {"app: {a: b}", "slipway.yaml:1:6: app: expected a single value"},
      {"hosts: web-1", "slipway.yaml:1:8: hosts: expected a list, such as [a, b]"},
      {"hosts: [a, [b]]", "slipway.yaml:1:12: hosts[1]: expected a single value"},
      {"slots: 8000", "slipway.yaml:1:8: slots: expected keys and values"},
      {"[a, b]", "slipway.yaml:1:1: expected keys and values"},
      {"just text", "slipway.yaml:1:1: expected keys and values"},
      {"slots: {blue: 80a}", "slipway.yaml:1:15: slots.blue: expected a whole number, found `80a`"},
      {"slots: {blue: -1}", "slipway.yaml:1:15: slots.blue: expected a whole number, found `-1`"},
      {"slots: {blue: 012}", "slipway.yaml:1:15: slots.blue: expected a whole number, found `012`"},
      {"slots: {blue: 8e3}", "slipway.yaml:1:15: slots.blue: expected a whole number, found `8e3`"},
      {"slots: {blue: 4294967296}",
       "slipway.yaml:1:15: slots.blue: expected a whole number, found `4294967296`"},
      {"slots: {blue: }", "slipway.yaml:1:15: slots.blue: expected a whole number, found ``"},
      {"hooks: {before_switch: [{once: yes}]}",
       "slipway.yaml:1:32: hooks.before_switch[0].once: expected true or false"},
      {"nginx: {mode: unspecified}",
       "slipway.yaml:1:15: nginx.mode: expected reload or marker, found `unspecified`"},
      {"nginx: {mode: RELOAD}",
       "slipway.yaml:1:15: nginx.mode: expected reload or marker, found `RELOAD`"},
      {"health: {timeout: 5}",
       "slipway.yaml:1:19: health.timeout: expected a duration such as 250ms, 10s, 5m or 1h"},
      {"health: {timeout: -5s}",
       "slipway.yaml:1:19: health.timeout: expected a duration such as 250ms, 10s, 5m or 1h"},
      {"health: {timeout: [5s]}",
       "slipway.yaml:1:19: health.timeout: expected a duration such as 250ms, 10s, 5m or 1h"},
      {"health: {http: {headers: {A: [x]}}}",
       "slipway.yaml:1:27: health.http.headers: expected text for key and value"},
      {"health: {http: {json: ok}}",
       "slipway.yaml:1:23: health.http.json: expected keys and values"},
  };
  for (const auto& [text, expected] : table) {
    const std::string error = ErrorOf(text);
    // An empty scalar has no place of its own in yaml-cpp; the message matters there.
    if (absl::string_view(expected).find("found ``") != absl::string_view::npos) {
      EXPECT_NE(error, "ok") << text;
    } else {
      EXPECT_EQ(error, expected) << text;
    }
  }
}

TEST(YamlProto, ReadsAStructByTheTypesOfItsValues) {
  const pb::ApplicationSpec spec = Parsed(R"(
health: {http: {json: {
  text: ok, quoted: "1", number: 1.5, yes: true, no: "true", nothing: null,
  list: [1, two, {three: 3}], deep: {er: {est: x}}, version: 1.2.3, word: yes}}})");
  const auto& fields = spec.health().http().json().fields();
  EXPECT_EQ(fields.at("text").string_value(), "ok");
  EXPECT_EQ(fields.at("quoted").string_value(), "1");
  EXPECT_EQ(fields.at("number").number_value(), 1.5);
  EXPECT_TRUE(fields.at("yes").bool_value());
  EXPECT_EQ(fields.at("no").string_value(), "true");
  EXPECT_TRUE(fields.at("nothing").has_null_value());
  EXPECT_EQ(fields.at("list").list_value().values_size(), 3);
  EXPECT_EQ(
      fields.at("list").list_value().values(2).struct_value().fields().at("three").number_value(),
      3);
  EXPECT_EQ(fields.at("deep")
                .struct_value()
                .fields()
                .at("er")
                .struct_value()
                .fields()
                .at("est")
                .string_value(),
            "x");
  EXPECT_EQ(fields.at("version").string_value(), "1.2.3");
  EXPECT_EQ(fields.at("word").string_value(), "yes");
}

// JSON has neither, so a health check could never see them.
TEST(YamlProto, TakesInfAndNanInAStructForText) {
  for (const char* word : {"inf", "nan", "infinity", "-inf"}) {
    const auto spec = Parsed(std::string("health: {http: {json: {status: ") + word + "}}}");
    EXPECT_EQ(spec.health().http().json().fields().at("status").string_value(), word);
  }
}

TEST(YamlProto, PassesOnWhereTheYamlItselfIsBroken) {
  EXPECT_THAT(ErrorOf("app: gifty\nhosts: [a, b\n"), StartsWith("slipway.yaml:3:1: "));
  EXPECT_THAT(ErrorOf("app: \"gifty"), StartsWith("slipway.yaml:1:"));
  EXPECT_THAT(ErrorOf("app: *nowhere"), StartsWith("slipway.yaml:1:"));
  EXPECT_THAT(ErrorOf("\tapp: x"), StartsWith("slipway.yaml:1:"));
}

TEST(YamlProto, RefusesASecondDocument) {
  EXPECT_EQ(ErrorOf("app: a\n---\napp: b\n"),
            "slipway.yaml:2:1: expected the end of the file; a second document?");
}

// An anchor that holds itself, and nesting without end, must not end in a stack overflow.
TEST(YamlProto, RefusesWhatNeverEnds) {
  EXPECT_NE(ErrorOf("health: {http: {json: &a {x: *a}}}"), "ok");
  EXPECT_NE(ErrorOf("health: {http: {json: {x: &a [*a]}}}"), "ok");
  const std::string deep(20'000, '[');
  EXPECT_NE(ErrorOf("health: {http: {json: {x: " + deep), "ok");
  EXPECT_NE(
      ErrorOf("health: {http: {json: {x: " + std::string(200, '[') + std::string(200, ']') + "}}}"),
      "ok");
}

TEST(YamlProto, ReadsTheDaemonsConfigurationToo) {
  config::v1::ControllerConfig config;
  ASSERT_TRUE(ParseYaml("hosts:\n  - {name: web-1, address: unix:///x, labels: {role: web}}\n",
                        "controller.yaml", config)
                  .ok());
  ASSERT_EQ(config.hosts_size(), 1);
  EXPECT_EQ(config.hosts(0).labels().at("role"), "web");
}

}  // namespace
}  // namespace slipway
