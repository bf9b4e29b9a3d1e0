#include "common/host_selector.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace slipway {
namespace {

struct Term {
  std::string key;
  std::string value;
  bool equal = true;
};

bool IsMadeOf(absl::string_view text, absl::string_view others) {
  return std::all_of(text.begin(), text.end(), [others](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || others.find(c) != others.npos;
  });
}

std::optional<Term> ParseTerm(absl::string_view text) {
  const size_t sign = text.find('=');
  if (sign == text.npos || sign == 0) return std::nullopt;
  const bool equal = text[sign - 1] != '!';
  const absl::string_view key = text.substr(0, equal ? sign : sign - 1);
  const absl::string_view value = text.substr(sign + 1);
  const bool good = !key.empty() && key.size() <= 63 && value.size() <= 63 &&
                    absl::ascii_isalnum(static_cast<unsigned char>(key[0])) &&
                    IsMadeOf(key, "._/-") && IsMadeOf(value, "._-");
  if (!good) return std::nullopt;
  return Term{std::string(key), std::string(value), equal};
}

// Empty when it is no selector.
std::vector<Term> ParseSelector(absl::string_view text) {
  std::vector<Term> terms;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    std::optional<Term> term = ParseTerm(part);
    if (!term) return {};
    terms.push_back(*std::move(term));
  }
  return terms;
}

bool Selects(const std::vector<Term>& terms, const std::map<std::string, std::string>& labels) {
  return std::all_of(terms.begin(), terms.end(), [&labels](const Term& term) {
    const auto found = labels.find(term.key);
    return (found != labels.end() && found->second == term.value) == term.equal;
  });
}

}  // namespace

bool IsHostSelector(absl::string_view text) { return !ParseSelector(text).empty(); }

std::vector<std::string> SelectHosts(const google::protobuf::RepeatedPtrField<std::string>& entries,
                                     const HostLabels& known) {
  std::vector<std::string> hosts;
  std::set<std::string> taken;
  const auto take = [&](const std::string& host) {
    if (taken.insert(host).second) hosts.push_back(host);
  };
  for (const std::string& entry : entries) {
    const std::vector<Term> terms = ParseSelector(entry);
    if (terms.empty()) take(entry);
    for (const auto& [host, labels] : known) {
      if (!terms.empty() && Selects(terms, labels)) take(host);
    }
  }
  return hosts;
}

}  // namespace slipway
