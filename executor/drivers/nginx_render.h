// The managed upstream file as text: written from numbers and strict names, read back, and a
// foreign one understood. Pure.
//
// Mode reload has one upstream, by all names that a site may use; the proof server answers `APP
// GENERATION SLOT` on the generation's own port. Mode marker has one upstream per slot, and the proof server answers the slot by the
// same look at the marker file that the site does, as in
//   set $slot blue; if (-f MARKER) { set $slot green; } proxy_pass http://NAME_$slot;
//
// Generation 0 is the placeholder of an application that was never deployed: all the names lead to the
// proof server of generation 0, which answers 503.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/protos.h"

#include "slipway/v1/applications.pb.h"

namespace slipway::executor {

struct ManagedFile {
  std::string app;
  std::string upstream;
  // IPv4, of the proof server and of the application.
  std::string address = "127.0.0.1";
  // 0: a placeholder; then mode reload, no slot, and `port` is the proof port.
  uint64_t generation = 0;
  uint32_t proof_port = 0;
  uint32_t keepalive = 32;
  pb::SwitchMode mode = pb::SWITCH_MODE_RELOAD;
  // Mode reload: the slot that serves, unspecified for an adopted older version, and its port.
  pb::Slot slot = pb::SLOT_UNSPECIFIED;
  uint32_t port = 0;
  // Mode marker: both slots' ports, and the file whose presence means green.
  uint32_t blue_port = 0;
  uint32_t green_port = 0;
  std::string marker;

  bool operator==(const ManagedFile&) const = default;
};

// Absolute, of [A-Za-z0-9._/-] only, without `..`.
bool IsMarkerPath(absl::string_view path);

// INVALID_ARGUMENT for anything that is not of the grammar, so that no value can break out of its
// place.
absl::StatusOr<std::string> RenderManagedFile(const ManagedFile& file);

// NOT_FOUND when the text is not one of ours, INVALID_ARGUMENT when it was and has been edited:
// what is accepted is exactly what RenderManagedFile() writes.
absl::StatusOr<ManagedFile> ParseManagedFile(absl::string_view text);
// Whose it is, also when it was edited since; empty for a file that is not one of ours.
std::string AppOfManagedFile(absl::string_view text);

// Where an upstream file that a script wrote sends its requests: the one IPv4 server of `upstream
// NAME`. NOT_FOUND when there is nothing in it but comments; INVALID_ARGUMENT, saying why, when it
// has another upstream or anything beside it, which would be lost, or when the upstream has several
// servers or one that is not ADDRESS:PORT.
struct ForeignUpstream {
  std::string address;
  uint32_t port = 0;
};
absl::StatusOr<ForeignUpstream> ParseForeignUpstream(absl::string_view text,
                                                     absl::string_view upstream);

// What a proof server answers.
struct ProofText {
  std::string app;
  uint64_t generation = 0;
  pb::Slot slot = pb::SLOT_UNSPECIFIED;

  bool operator==(const ProofText&) const = default;
};
// `APP GENERATION SLOT\n`; INVALID_ARGUMENT for anything else.
absl::StatusOr<ProofText> ParseProof(absl::string_view body);
// What a placeholder's server answers, with status 503.
std::string PlaceholderAnswer(absl::string_view app);

// The words of nginx's configuration language: comments dropped, quotes and escapes undone; `{`,
// `}` and `;` are words of their own. INVALID_ARGUMENT for an open quote.
struct NginxWord {
  std::string text;
  // A separator that stood in quotes is a plain word.
  bool quoted = false;
  // Where it begins in the text.
  size_t offset = 0;

  bool Is(absl::string_view separator) const { return !quoted && text == separator; }
};
absl::StatusOr<std::vector<NginxWord>> SplitNginxWords(absl::string_view text);

}  // namespace slipway::executor
