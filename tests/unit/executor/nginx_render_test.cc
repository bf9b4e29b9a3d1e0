#include "executor/drivers/nginx_render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/drivers/nginx.h"

namespace slipway::executor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ManagedFile Blue() {
  ManagedFile file;
  file.app = "gifty";
  file.upstream = "gifty_backend";
  file.generation = 42;
  file.proof_port = 18710;
  file.slot = pb::SLOT_BLUE;
  file.port = 8000;
  return file;
}

ManagedFile Marked() {
  ManagedFile file = Blue();
  file.mode = pb::SWITCH_MODE_MARKER;
  file.slot = pb::SLOT_UNSPECIFIED;
  file.port = 0;
  file.blue_port = 8000;
  file.green_port = 8001;
  file.marker = "/var/lib/slipway/gifty.green";
  return file;
}

TEST(NginxRender, WritesTheUpstreamAndItsProof) {
  const auto text = RenderManagedFile(Blue());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(
      *text,
      HasSubstr("upstream gifty_backend {\n    server 127.0.0.1:8000;\n    keepalive 32;\n}\n"));
  // A site that is ready for mode marker finds what serves under both of its names.
  EXPECT_THAT(*text, HasSubstr("upstream gifty_backend_blue {\n    server 127.0.0.1:8000;"));
  EXPECT_THAT(*text, HasSubstr("upstream gifty_backend_green {\n    server 127.0.0.1:8000;"));
  EXPECT_THAT(*text, HasSubstr("listen 127.0.0.1:18710;"));
  EXPECT_THAT(*text, HasSubstr("return 200 \"gifty 42 blue\\n\";"));
  ManagedFile none = Blue();
  none.keepalive = 0;
  EXPECT_THAT(*RenderManagedFile(none), Not(HasSubstr("keepalive 0")));
}

TEST(NginxRender, GenerationZeroIsAPlaceholderAndNothingElse) {
  ManagedFile placeholder = Blue();
  placeholder.generation = 0;
  placeholder.slot = pb::SLOT_UNSPECIFIED;
  placeholder.port = placeholder.proof_port;
  const auto text = RenderManagedFile(placeholder);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("return 503 \"gifty is not deployed yet\\n\";"));
  EXPECT_THAT(*text, HasSubstr("upstream gifty_backend_green {\n    server 127.0.0.1:18710;"));
  EXPECT_EQ(*ParseManagedFile(*text), placeholder);
  placeholder.slot = pb::SLOT_BLUE;
  EXPECT_FALSE(RenderManagedFile(placeholder).ok());
  placeholder.slot = pb::SLOT_UNSPECIFIED;
  placeholder.port = 8000;
  EXPECT_FALSE(RenderManagedFile(placeholder).ok());
  EXPECT_FALSE(ParseProof("gifty 0 none\n").ok());
}

TEST(NginxRender, WritesBothSlotsInModeMarker) {
  const auto text = RenderManagedFile(Marked());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text,
              HasSubstr("upstream gifty_backend_blue {\n    server 127.0.0.1:8000 max_fails=0;\n"));
  EXPECT_THAT(
      *text, HasSubstr("upstream gifty_backend_green {\n    server 127.0.0.1:8001 max_fails=0;\n"));
  EXPECT_THAT(*text, HasSubstr("if (-f /var/lib/slipway/gifty.green)"));
}

TEST(NginxRender, ReadsBackWhatItWrote) {
  for (const ManagedFile& file : {Blue(), Marked()}) {
    const auto parsed = ParseManagedFile(*RenderManagedFile(file));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, file);
  }
}

TEST(NginxRender, NoticesAnyEdit) {
  const std::string text = *RenderManagedFile(Blue());
  EXPECT_TRUE(absl::IsNotFound(ParseManagedFile("upstream x { server 127.0.0.1:80; }").status()));
  EXPECT_TRUE(absl::IsNotFound(ParseManagedFile("").status()));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {":8000;", ":8001;"},
           {"generation=42", "generation=43"},
           {"generation=42", "generation=-1"},
           {"slot=blue", "slot=red"},
           {"app=gifty", "app=../x"},
           {"}\n", "}\n\n"},
           {" proof=", " prof="},
           {"mode=reload", "mode=marker"},
           {"generation=42", "generation=99999999999999999999"}}) {
    const std::string edited = absl::StrReplaceAll(text, {{from, to}});
    ASSERT_NE(edited, text);
    EXPECT_TRUE(absl::IsInvalidArgument(ParseManagedFile(edited).status())) << from << " " << to;
  }
  for (size_t i = 0; i < text.size(); ++i) EXPECT_FALSE(ParseManagedFile(text.substr(0, i)).ok());
}

TEST(NginxRender, LetsNothingBreakOut) {
  for (const std::string& bad :
       std::vector<std::string>{"", "x;", "x}", "x y", "x\n", "-x", "1x", "x$y", "x\"", "x'", "x{",
                                "../x", std::string(64, 'x')}) {
    ManagedFile file = Blue();
    file.upstream = bad;
    EXPECT_FALSE(RenderManagedFile(file).ok()) << bad;
    file = Blue();
    file.app = bad;
    EXPECT_FALSE(RenderManagedFile(file).ok()) << bad;
    file = Blue();
    file.address = bad;
    EXPECT_FALSE(RenderManagedFile(file).ok()) << bad;
    file = Marked();
    file.marker = absl::StrCat("/x/", bad, ") { evil");
    EXPECT_FALSE(RenderManagedFile(file).ok()) << bad;
  }
  ManagedFile file = Blue();
  file.port = 65536;
  EXPECT_FALSE(RenderManagedFile(file).ok());
  file = Blue();
  file.generation = 0;
  EXPECT_FALSE(RenderManagedFile(file).ok());
  EXPECT_FALSE(IsMarkerPath("relative"));
  EXPECT_FALSE(IsMarkerPath("/a/../b"));
}

TEST(NginxRender, UnderstandsAScriptsUpstream) {
  for (const std::string text :
       {"upstream gifty_backend { server 127.0.0.1:8000; }",
        "# upstream gifty_backend { server 127.0.0.1:1; }\nupstream gifty_backend {\n  server "
        "localhost:8000 weight=1;\n keepalive 8; }",
        "upstream \"gifty_backend\" { server 127.0.0.1:9 down; server '127.0.0.1:8000'; }"}) {
    const auto found = ParseForeignUpstream(text, "gifty_backend");
    ASSERT_TRUE(found.ok()) << text << found.status();
    EXPECT_EQ(found->port, 8000u);
    EXPECT_EQ(found->address, "127.0.0.1");
  }
}

TEST(NginxRender, TakesOverNoUpstreamItDoesNotUnderstand) {
  const auto parse = [](const std::string& text) {
    return ParseForeignUpstream(text, "gifty_backend").status();
  };
  EXPECT_TRUE(absl::IsNotFound(parse("")));
  EXPECT_TRUE(absl::IsNotFound(parse("# upstream gifty_backend { server 127.0.0.1:1; }\n")));
  for (const std::string text :
       // What stands beside the upstream would be lost.
       {"upstream other { server 127.0.0.1:1; }", "server { listen 80; }", "upstream",
        "upstream gifty_backend { server 127.0.0.1:1; } server { listen 80; }",
        "upstream other { server 127.0.0.1:9; } upstream gifty_backend { server 127.0.0.1:1; }",
        "upstream gifty_backend { server 127.0.0.1:1;",
        "upstream gifty_backend { server 127.0.0.1; }",
        "upstream gifty_backend { server app:8000; }",
        "upstream gifty_backend { server unix:/run/app.sock; }", "upstream gifty_backend { }",
        "upstream gifty_backend { server 127.0.0.1:1; server 127.0.0.1:2; }",
        "upstream gifty_backend { server 127.0.0.1:0; }",
        "upstream gifty_backend { server 127.0.0.1:99999; }",
        "upstream gifty_backend { server \"127.0.0.1:1",
        "upstream gifty_backend { server 127.0.0.1:1; } upstream gifty_backend { server "
        "127.0.0.1:1; }",
        "upstream gifty_backend { { server 127.0.0.1:1; } }"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(parse(text))) << text << parse(text);
  }
}

TEST(NginxRender, KnowsWhoseFileItIsAlsoWhenItWasEdited) {
  const std::string text = *RenderManagedFile(Blue());
  EXPECT_EQ(AppOfManagedFile(text), "gifty");
  EXPECT_EQ(AppOfManagedFile(text + "# edited\n"), "gifty");
  EXPECT_EQ(AppOfManagedFile("upstream gifty_backend { server 127.0.0.1:8000; }"), "");
  EXPECT_EQ(AppOfManagedFile(""), "");
}

TEST(NginxRender, ReadsAProofAndNothingElse) {
  const auto proof = ParseProof("gifty 42 green\n");
  ASSERT_TRUE(proof.ok());
  EXPECT_EQ(*proof, (ProofText{"gifty", 42, pb::SLOT_GREEN}));
  EXPECT_EQ(ParseProof("gifty 1 none\n")->slot, pb::SLOT_UNSPECIFIED);
  for (const std::string bad :
       {"", "\n", "gifty 42 green", "gifty 42\n", "gifty 0 blue\n", "gifty -1 blue\n",
        "gifty +1 blue\n", "gifty  42 blue\n", "gifty 42 red\n", "<html>\n", "Gifty 42 blue\n"}) {
    EXPECT_FALSE(ParseProof(bad).ok()) << bad;
  }
}

TEST(NginxWords, SplitsAsNginxDoes) {
  const auto words = SplitNginxWords("a \"b ; c\" 'd\\'e' f${g}h;# x\ni{}");
  ASSERT_TRUE(words.ok());
  std::vector<std::string> texts;
  for (const NginxWord& word : *words) texts.push_back(word.text);
  EXPECT_THAT(texts, ::testing::ElementsAre("a", "b ; c", "d'e", "f${g}h", ";", "i", "{", "}"));
}

TEST(NginxGeneration, TakesTheOtherParityAboveEverythingWritten) {
  EXPECT_EQ(NextGeneration(0, 0), 1u);
  EXPECT_EQ(NextGeneration(0, 0, true), 2u);
  EXPECT_EQ(NextGeneration(1, 1), 2u);
  // Generation 2 failed and 1 is back: 3 would have 1's port.
  EXPECT_EQ(NextGeneration(1, 2), 4u);
  EXPECT_EQ(NextGeneration(4, 4), 5u);
  EXPECT_EQ(NextGeneration(0, 5), 7u) << "a placeholder holds the port of even ones";
}

TEST(NginxRender, TakesEveryUpstreamNameThatASpecificationMayHave) {
  for (const char* name : {"gifty_backend", "dot.backend", "_x-1.y"}) {
    ManagedFile file = Blue();
    file.upstream = name;
    const auto text = RenderManagedFile(file);
    ASSERT_TRUE(text.ok()) << name << text.status();
    EXPECT_EQ(ParseManagedFile(*text).value_or(ManagedFile()), file);
  }
}

}  // namespace
}  // namespace slipway::executor
