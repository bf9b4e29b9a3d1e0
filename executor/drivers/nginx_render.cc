#include "executor/drivers/nginx_render.h"

#include <algorithm>
#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/strings/substitute.h"

#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"

namespace slipway::executor {
namespace {

constexpr absl::string_view kHead = "# slipway: ";
// Idle connections to the slot that no longer serves must end by themselves, or the drain would
// wait for them.
constexpr absl::string_view kMarkerIdle = "    keepalive_timeout 2s;\n";

bool IsPort(uint32_t port) { return port > 0 && port < 65536; }

bool IsAddress(const std::string& address) {
  in_addr binary{};
  return inet_pton(AF_INET, address.c_str(), &binary) == 1;
}

std::string ModeWord(pb::SwitchMode mode) {
  return mode == pb::SWITCH_MODE_MARKER ? "marker" : "reload";
}

absl::StatusOr<pb::Slot> ParseSlot(absl::string_view word) {
  for (const pb::Slot slot : {pb::SLOT_UNSPECIFIED, pb::SLOT_BLUE, pb::SLOT_GREEN}) {
    if (word == SlotWord(slot)) return slot;
  }
  return absl::InvalidArgumentError("not a slot");
}

absl::Status Check(const ManagedFile& file) {
  const bool marker = file.mode == pb::SWITCH_MODE_MARKER;
  const auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("the nginx file's ", what, " is not valid"));
  };
  if (!IsApplicationName(file.app)) return bad("application name");
  if (!IsUpstreamName(file.upstream)) return bad("upstream name");
  if (!IsAddress(file.address)) return bad("address");
  if (!IsPort(file.proof_port)) return bad("proof port");
  if (!marker && file.mode != pb::SWITCH_MODE_RELOAD) return bad("mode");
  if (marker && (!IsPort(file.blue_port) || !IsPort(file.green_port))) return bad("slot port");
  if (marker && !IsMarkerPath(file.marker)) return bad("marker path");
  if (!marker && !IsPort(file.port)) return bad("port");
  if (file.generation == 0 &&
      (marker || file.slot != pb::SLOT_UNSPECIFIED || file.port != file.proof_port)) {
    return bad("generation");
  }
  return absl::OkStatus();
}

std::string Upstream(const ManagedFile& file, absl::string_view suffix, uint32_t port) {
  const bool marker = file.mode == pb::SWITCH_MODE_MARKER;
  std::string text = absl::StrCat("upstream ", file.upstream, suffix, " {\n    server ",
                                  file.address, ":", port, marker ? " max_fails=0;\n" : ";\n");
  if (file.keepalive > 0) {
    absl::StrAppend(&text, "    keepalive ", file.keepalive, ";\n", marker ? kMarkerIdle : "");
  }
  return absl::StrCat(text, "}\n");
}

std::string Answer(const ManagedFile& file, pb::Slot slot) {
  if (file.generation == 0) {
    const std::string text = PlaceholderAnswer(file.app);
    return absl::StrCat("return 503 \"", absl::StripSuffix(text, "\n"), "\\n\";");
  }
  return absl::StrCat("return 200 \"", file.app, " ", file.generation, " ", SlotWord(slot),
                      "\\n\";");
}

std::string ProofServer(const ManagedFile& file) {
  std::string location = absl::StrCat("        ", Answer(file, file.slot), "\n");
  if (file.mode == pb::SWITCH_MODE_MARKER) {
    location = absl::StrCat("        if (-f ", file.marker, ") {\n            ",
                            Answer(file, pb::SLOT_GREEN), "\n        }\n        ",
                            Answer(file, pb::SLOT_BLUE), "\n");
  }
  return absl::Substitute(
      "server {\n    listen $0:$1;\n    access_log off;\n    default_type text/plain;\n"
      "    location / {\n$2    }\n}\n",
      file.address, file.proof_port, location);
}

std::string Render(const ManagedFile& file) {
  const bool marker = file.mode == pb::SWITCH_MODE_MARKER;
  std::string text = absl::StrCat(
      "# Managed by Slipway; the next deployment of ", file.app,
      " overwrites what is changed here.\n", kHead, "app=", file.app, " mode=", ModeWord(file.mode),
      " generation=", file.generation, " slot=", SlotWord(file.slot), " upstream=", file.upstream,
      " address=", file.address, " proof=", file.proof_port, " keepalive=", file.keepalive);
  if (marker) {
    absl::StrAppend(&text, " blue=", file.blue_port, " green=", file.green_port,
                    " marker=", file.marker, "\n", Upstream(file, "_blue", file.blue_port),
                    Upstream(file, "_green", file.green_port));
  } else {
    // The names of mode marker too, so that a site can be moved to that mode and back while it
    // serves: here either name means what serves.
    absl::StrAppend(&text, " port=", file.port, "\n", Upstream(file, "", file.port),
                    Upstream(file, "_blue", file.port), Upstream(file, "_green", file.port));
  }
  return absl::StrCat(text, ProofServer(file));
}

// What our line says of the file; empty when it has none.
absl::string_view HeadOf(absl::string_view text) {
  const size_t start = text.find(kHead);
  if (start == absl::string_view::npos || (start > 0 && text[start - 1] != '\n')) return "";
  const absl::string_view line = text.substr(start + kHead.size());
  return line.substr(0, line.find('\n'));
}

// True when the key is known and the value fits; Check() and the comparison with the rendered text
// do the rest.
bool SetField(absl::string_view key, absl::string_view value, ManagedFile& file) {
  if (key == "app") {
    file.app = std::string(value);
  } else if (key == "mode") {
    file.mode = value == "marker" ? pb::SWITCH_MODE_MARKER : pb::SWITCH_MODE_RELOAD;
  } else if (key == "generation") {
    return absl::SimpleAtoi(value, &file.generation);
  } else if (key == "slot") {
    const auto slot = ParseSlot(value);
    if (!slot.ok()) return false;
    file.slot = *slot;
  } else if (key == "upstream") {
    file.upstream = std::string(value);
  } else if (key == "address") {
    file.address = std::string(value);
  } else if (key == "proof") {
    return absl::SimpleAtoi(value, &file.proof_port);
  } else if (key == "keepalive") {
    return absl::SimpleAtoi(value, &file.keepalive);
  } else if (key == "blue") {
    return absl::SimpleAtoi(value, &file.blue_port);
  } else if (key == "green") {
    return absl::SimpleAtoi(value, &file.green_port);
  } else if (key == "marker") {
    file.marker = std::string(value);
  } else if (key == "port") {
    return absl::SimpleAtoi(value, &file.port);
  } else {
    return false;
  }
  return true;
}

absl::StatusOr<ForeignUpstream> ParseServer(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  ForeignUpstream server;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &server.port) || !IsPort(server.port)) {
    // Without a port nginx takes 80, silently: nobody meant that.
    return absl::InvalidArgumentError(absl::StrCat("its server '", text, "' is not ADDRESS:PORT"));
  }
  server.address = parts[0] == "localhost" ? "127.0.0.1" : parts[0];
  if (!IsAddress(server.address)) {
    return absl::InvalidArgumentError(absl::StrCat("its server '", text, "' is not ADDRESS:PORT"));
  }
  return server;
}

}  // namespace

bool IsMarkerPath(absl::string_view path) {
  return path.size() > 1 && path.size() <= 255 && path.front() == '/' && path.back() != '/' &&
         !absl::StrContains(path, "..") && std::all_of(path.begin(), path.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '/' || c == '-';
         });
}

absl::StatusOr<std::string> RenderManagedFile(const ManagedFile& file) {
  SLIPWAY_RETURN_IF_ERROR(Check(file));
  return Render(file);
}

std::string PlaceholderAnswer(absl::string_view app) {
  return absl::StrCat(app, " is not deployed yet\n");
}

std::string AppOfManagedFile(absl::string_view text) {
  absl::string_view line = HeadOf(text);
  if (!absl::ConsumePrefix(&line, "app=")) return "";
  return std::string(line.substr(0, line.find(' ')));
}

absl::StatusOr<ManagedFile> ParseManagedFile(absl::string_view text) {
  const absl::string_view line = HeadOf(text);
  if (line.empty()) return absl::NotFoundError("not a file that Slipway wrote");
  const auto edited = absl::InvalidArgumentError("a file of Slipway's that was edited since");
  ManagedFile file;
  for (const absl::string_view field : absl::StrSplit(line, ' ')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(field, absl::MaxSplits('=', 1));
    if (!SetField(pair.first, pair.second, file)) return edited;
  }
  if (!Check(file).ok() || Render(file) != text) return edited;
  return file;
}

absl::StatusOr<ForeignUpstream> ParseForeignUpstream(absl::string_view text,
                                                     absl::string_view upstream) {
  SLIPWAY_ASSIGN_OR_RETURN(const std::vector<NginxWord> words, SplitNginxWords(text));
  if (words.empty()) return absl::NotFoundError("there is nothing in it");
  if (words.size() < 4 || !words[0].Is("upstream") || words[1].text != upstream ||
      !words[2].Is("{")) {
    return absl::InvalidArgumentError(absl::StrCat("it does not begin with upstream ", upstream));
  }
  std::vector<std::string> servers;
  bool at_start = true;
  size_t i = 3;
  for (; i < words.size() && !words[i].Is("}"); ++i) {
    if (words[i].Is("{")) return absl::InvalidArgumentError("a block inside the upstream");
    if (at_start && words[i].Is("server") && i + 1 < words.size()) {
      // `down` servers get nothing; everything else may.
      bool down = false;
      for (size_t j = i + 2; j < words.size() && !words[j].Is(";"); ++j)
        down |= words[j].Is("down");
      if (!down) servers.push_back(words[i + 1].text);
    }
    at_start = words[i].Is(";");
  }
  if (i + 1 != words.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it holds more than upstream ", upstream, ", which would be lost"));
  }
  if (servers.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the upstream has ", servers.size(), " servers; one was expected"));
  }
  return ParseServer(servers.front());
}

absl::StatusOr<ProofText> ParseProof(absl::string_view body) {
  const auto bad = absl::InvalidArgumentError("not the answer of a proof server");
  if (!absl::ConsumeSuffix(&body, "\n")) return bad;
  const std::vector<absl::string_view> words = absl::StrSplit(body, ' ');
  ProofText proof;
  if (words.size() != 3 || !IsApplicationName(words[0]) || words[1].empty() ||
      !std::all_of(words[1].begin(), words[1].end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(words[1], &proof.generation) || proof.generation == 0) {
    return bad;
  }
  proof.app = std::string(words[0]);
  SLIPWAY_ASSIGN_OR_RETURN(proof.slot, ParseSlot(words[2]));
  return proof;
}

absl::StatusOr<std::vector<NginxWord>> SplitNginxWords(absl::string_view text) {
  std::vector<NginxWord> words;
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (absl::ascii_isspace(c)) {
      ++i;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '{' || c == '}' || c == ';') {
      words.push_back({std::string(1, c), false, i});
      ++i;
    } else {
      NginxWord word;
      word.offset = i;
      const char quote = c == '"' || c == '\'' ? c : '\0';
      word.quoted = quote != '\0';
      i += word.quoted ? 1 : 0;
      while (i < text.size()) {
        if (text[i] == '\\' && i + 1 < text.size()) {
          ++i;
        } else if (word.quoted ? text[i] == quote
                               : absl::ascii_isspace(text[i]) || text[i] == ';' || text[i] == '{' ||
                                     text[i] == '}') {
          // `${name}` is part of a word.
          if (word.quoted || text[i] != '{' || word.text.empty() || word.text.back() != '$') break;
          const size_t end = text.find('}', i);
          if (end == absl::string_view::npos) break;
          absl::StrAppend(&word.text, text.substr(i, end + 1 - i));
          i = end + 1;
          continue;
        }
        word.text.push_back(text[i++]);
      }
      if (word.quoted && i >= text.size())
        return absl::InvalidArgumentError("a quote is left open");
      i += word.quoted ? 1 : 0;
      words.push_back(std::move(word));
    }
  }
  return words;
}

}  // namespace slipway::executor
