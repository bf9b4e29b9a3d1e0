#include "executor/drivers/nginx_diagnose.h"

#include <algorithm>
#include <fstream>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "common/file.h"
#include "common/status.h"
#include "executor/drivers/evidence_text.h"
#include "executor/drivers/nginx_render.h"
#include "executor/failure.h"

namespace slipway::executor {
namespace {

constexpr size_t kMaxLogLines = 20;

bool SameFile(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code ignored;
  return a == b || std::filesystem::weakly_canonical(a, ignored) ==
                       std::filesystem::weakly_canonical(b, ignored);
}

struct stat StatOf(const std::filesystem::path& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) found = {};
  return found;
}

bool PassesTo(absl::string_view target, absl::string_view upstream, bool marker) {
  const size_t scheme = target.find("://");
  if (scheme != absl::string_view::npos) target = target.substr(scheme + 3);
  if (!absl::ConsumePrefix(&target, upstream)) return false;
  if (!marker && (target.empty() || target.front() == '/' || target.front() == '$')) return true;
  return absl::StartsWith(target, "_$") || absl::StartsWith(target, "_blue") ||
         absl::StartsWith(target, "_green") || absl::StartsWith(target, "_${");
}

// The port of `http://127.0.0.1:8000/path`, `localhost:8000` and the like; 0 for other hosts, for
// names of upstreams and for variables.
uint32_t LocalPortOf(absl::string_view target) {
  if (const size_t scheme = target.find("://"); scheme != absl::string_view::npos)
    target.remove_prefix(scheme + 3);
  target = target.substr(0, target.find('/'));
  const size_t colon = target.rfind(':');
  if (colon == absl::string_view::npos) return 0;
  const absl::string_view host = target.substr(0, colon);
  uint32_t port = 0;
  const bool local = absl::StartsWith(host, "127.") || host == "localhost" || host == "0.0.0.0" ||
                     host == "[::1]" || host == "[::]";
  // What follows may be a variable, as in `:8000$request_uri`.
  absl::string_view digits = target.substr(colon + 1);
  digits = digits.substr(0, digits.find_first_not_of("0123456789"));
  return local && absl::SimpleAtoi(digits, &port) ? port : 0;
}

// True for directives whose arguments say where requests go: in an upstream `server ADDRESS`, and
// variables, which a `proxy_pass` elsewhere may name.
bool ChoosesTarget(absl::string_view directive, absl::string_view block) {
  return absl::EndsWith(directive, "_pass") || directive == "server" || directive == "set" ||
         block == "map" || block == "geo" || block == "split_clients";
}

struct Place {
  // Empty for a position before the first file.
  std::string file;
  std::ptrdiff_t line = 0;
};

// Where a position of `nginx -T`'s output lies in the configuration.
Place PlaceOf(absl::string_view dump, size_t offset) {
  constexpr absl::string_view kFileMark = "# configuration file ";
  const absl::string_view before = dump.substr(0, offset);
  const size_t mark = before.rfind(kFileMark);
  if (mark == absl::string_view::npos) return {};
  const size_t first_line = before.find('\n', mark);
  if (first_line == absl::string_view::npos) return {};
  const absl::string_view file = absl::StripSuffix(
      before.substr(mark + kFileMark.size(), first_line - mark - kFileMark.size()), ":");
  return {std::string(file),
          std::count(before.begin() + static_cast<std::ptrdiff_t>(first_line), before.end(), '\n')};
}

// The upstream that nginx takes for a host name, for no file defines it; empty for another complaint.
absl::string_view MissingUpstreamIn(absl::string_view complaint) {
  constexpr absl::string_view kBefore = "host not found in upstream \"";
  const size_t found = complaint.find(kBefore);
  if (found == absl::string_view::npos) return "";
  const absl::string_view name = complaint.substr(found + kBefore.size());
  return name.substr(0, name.find('"'));
}

}  // namespace

std::optional<NginxComplaint> ParseComplaint(absl::string_view standard_error) {
  for (absl::string_view line : absl::StrSplit(standard_error, '\n')) {
    const size_t level = line.find("[emerg] ");
    if (level == absl::string_view::npos) continue;
    line.remove_prefix(level + 8);
    // "PID#TID: ", of use to nobody.
    const size_t text = line.find_first_not_of("0123456789#");
    if (text != 0 && absl::StartsWith(absl::ClippedSubstr(line, text), ": "))
      line.remove_prefix(text + 2);
    NginxComplaint complaint;
    complaint.message = EvidenceText(line, 512);
    // `... in /path/of/the/file:12`
    const size_t in = line.rfind(" in /");
    const size_t colon = line.rfind(':');
    if (in != absl::string_view::npos && colon != absl::string_view::npos && colon > in &&
        absl::SimpleAtoi(line.substr(colon + 1), &complaint.line)) {
      complaint.file = std::string(line.substr(in + 4, colon - in - 4));
    }
    return complaint;
  }
  return std::nullopt;
}

absl::Status ExplainTestFailure(absl::string_view standard_error,
                                const std::filesystem::path& our_file, absl::string_view upstream) {
  const std::optional<NginxComplaint> complaint = ParseComplaint(standard_error);
  if (!complaint.has_value()) {
    return Failure(pb::FAILURE_REASON_PREFLIGHT,
                   absl::StrCat("nginx -t fails: ", EvidenceText(standard_error, 512)),
                   "run nginx -t as the executor's user and cure what it says");
  }
  const std::string place =
      complaint->file.empty() ? "" : absl::StrCat(complaint->file, ":", complaint->line);
  absl::Status status;
  if (absl::StrContains(complaint->message, "duplicate upstream") &&
      absl::StrContains(complaint->message, absl::StrCat("\"", upstream))) {
    status = Failure(
        pb::FAILURE_REASON_PREFLIGHT,
        absl::StrCat("nginx reads the upstream ", upstream, " twice: ", complaint->message),
        absl::StrCat(
            "remove one of the two: either the line `include ", our_file.string(),
            ";` from the site (nginx.conf includes conf.d/*.conf already), or the other file that "
            "defines this upstream"));
  } else if (complaint->file.empty()) {
    status =
        Failure(pb::FAILURE_REASON_PREFLIGHT, absl::StrCat("nginx -t fails: ", complaint->message),
                "run nginx -t and cure what it says");
  } else if (SameFile(complaint->file, our_file)) {
    status = Failure(pb::FAILURE_REASON_NGINX_TEST,
                     absl::StrCat("nginx refuses the managed file: ", complaint->message));
  } else if (const std::string owner = AppOfManagedFile(ReadFile(complaint->file).value_or(""));
             !owner.empty()) {
    status = Failure(
        pb::FAILURE_REASON_FOREIGN_NGINX_FILE,
        absl::StrCat("nginx -t fails because of ", place, ", the managed file of the application ",
                     owner, ", which was edited: ", complaint->message),
        absl::StrCat("run `slipway reconcile ", owner,
                     "`, which puts the file back; no site on this host can reload nginx before "
                     "that"));
  } else {
    status =
        Failure(pb::FAILURE_REASON_FOREIGN_NGINX_FILE,
                absl::StrCat("nginx -t fails because of ", place,
                             ", which is not Slipway's: ", complaint->message),
                MissingUpstreamIn(complaint->message).empty()
                    ? absl::StrCat("repair or remove ", complaint->file,
                                   " until nginx -t passes, then deploy again; no site on this "
                                   "host can reload nginx before that")
                    : absl::StrCat("is ", MissingUpstreamIn(complaint->message),
                                   " the upstream of another application that was never deployed "
                                   "here? `slipway apply` in its folder writes its file, then "
                                   "deploy again; else repair or remove ",
                                   complaint->file));
  }
  pb::ErrorDetail detail = DetailOf(status);
  detail.set_subject(place);
  SetDetail(status, detail);
  return status;
}

bool ComplainsOfMissingFile(absl::string_view standard_error, const std::filesystem::path& our_file,
                            absl::string_view upstream) {
  const std::optional<NginxComplaint> complaint = ParseComplaint(standard_error);
  if (!complaint.has_value()) return false;
  return absl::StrContains(complaint->message,
                           absl::StrCat("open() \"", our_file.string(), "\" failed (2:")) ||
         absl::StrContains(complaint->message,
                           absl::StrCat("host not found in upstream \"", upstream, "\""));
}

ConfigUse ParseConfigDump(absl::string_view dump, const std::filesystem::path& our_file,
                          absl::string_view upstream, bool marker) {
  ConfigUse use;
  for (absl::string_view line : absl::StrSplit(dump, '\n')) {
    if (absl::ConsumePrefix(&line, "# configuration file ") && absl::ConsumeSuffix(&line, ":")) {
      use.included |= SameFile(std::filesystem::path(std::string(line)), our_file);
    }
  }
  const auto words = SplitNginxWords(dump);
  if (!words.ok()) return use;
  for (size_t i = 0; i + 1 < words->size(); ++i) {
    const std::string& word = (*words)[i].text;
    const std::string& next = (*words)[i + 1].text;
    if (absl::EndsWith(word, "_pass") && PassesTo(next, upstream, marker)) use.passed_to = true;
    if (word == "open_file_cache" && next != "off") use.caches_files = true;
  }
  return use;
}

std::vector<FixedPass> FindFixedPasses(absl::string_view dump,
                                       const std::filesystem::path& our_file,
                                       const std::vector<uint32_t>& ports) {
  std::vector<FixedPass> found;
  const auto words = SplitNginxWords(dump);
  if (!words.ok()) return found;
  // The first words of the blocks around, and of the directive.
  std::vector<std::string> blocks;
  size_t first = 0;
  for (size_t i = 0; i < words->size(); ++i) {
    const NginxWord& word = (*words)[i];
    if (word.Is(";") || word.Is("{") || word.Is("}")) {
      if (word.Is("{")) blocks.push_back(first < i ? (*words)[first].text : "");
      if (word.Is("}") && !blocks.empty()) blocks.pop_back();
      first = i + 1;
      continue;
    }
    if (i == first ||
        std::find(ports.begin(), ports.end(), LocalPortOf(word.text)) == ports.end() ||
        !ChoosesTarget((*words)[first].text, blocks.empty() ? "" : blocks.back())) {
      continue;
    }
    const Place place = PlaceOf(dump, (*words)[first].offset);
    if (place.file.empty() || SameFile(std::filesystem::path(place.file), our_file)) continue;
    std::string directive = (*words)[first].text;
    for (size_t j = first + 1; j <= i; ++j) absl::StrAppend(&directive, " ", (*words)[j].text);
    found.push_back({absl::StrCat(place.file, ":", place.line), std::move(directive)});
  }
  return found;
}

ErrorLogTail::ErrorLogTail(std::filesystem::path path) : path_(std::move(path)) {
  const struct stat now = StatOf(path_);
  inode_ = now.st_ino;
  size_ = static_cast<uint64_t>(now.st_size);
}

std::vector<std::string> ErrorLogTail::Since() const {
  const struct stat now = StatOf(path_);
  const bool same = now.st_ino == inode_ && static_cast<uint64_t>(now.st_size) >= size_;
  std::ifstream log(path_, std::ios::binary);
  log.seekg(same ? static_cast<std::streamoff>(size_) : 0);
  std::vector<std::string> lines;
  std::string line;
  while (lines.size() < kMaxLogLines && std::getline(log, line)) {
    for (const absl::string_view level : {"[emerg]", "[alert]", "[crit]"}) {
      if (absl::StrContains(line, level)) lines.push_back(EvidenceText(line, 512));
    }
  }
  return lines;
}

bool ErrorLogTail::SaysRefused() const {
  const std::vector<std::string> lines = Since();
  return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StrContains(line, "[emerg]") && !absl::StrContains(line, "failed (98:");
  });
}

}  // namespace slipway::executor
