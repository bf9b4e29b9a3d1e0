#include "executor/steps/line_diff.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace slipway::executor {
namespace {

std::vector<absl::string_view> Lines(absl::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.empty()) return {};
  return absl::StrSplit(text, '\n');
}

}  // namespace

std::string LineDiff(absl::string_view before, absl::string_view after) {
  if (before == after) return "";
  const auto a = Lines(before);
  const auto b = Lines(after);
  // common[i][j]: length of the longest common subsequence of a[i:] and b[j:].
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string diff;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      absl::StrAppend(&diff, " ", a[i++], "\n");
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&diff, "-", a[i++], "\n");
    } else {
      absl::StrAppend(&diff, "+", b[j++], "\n");
    }
  }
  return diff;
}

}  // namespace slipway::executor
