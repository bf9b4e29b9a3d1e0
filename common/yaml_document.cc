#include "common/yaml_document.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include <yaml-cpp/eventhandler.h>

#include "common/status.h"

namespace slipway {
namespace {

// Measures a text before a tree is made of it. yaml-cpp alone would follow `&a [*a]` for ever, let ten short lines become
// a thousand million values, and take a stray `,` for endlessly many empty documents.
class Bounds : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw YAML::ParserException(mark, "expected the end of the file; a second document?");
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Leaf(mark, anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string&) override {
    Leaf(mark, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end()) throw YAML::ParserException(mark, "an anchor within itself");
    Add(mark, found->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Begin(mark, anchor);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Begin(mark, anchor);
  }
  void OnMapEnd() override { End(); }

 private:
  struct Extent {
    size_t values = 0;
    size_t levels = 0;
  };
  struct Collection {
    YAML::Mark mark;
    YAML::anchor_t anchor = YAML::NullAnchor;
    Extent extent;
  };

  void Leaf(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchored_[anchor] = {1, 1};
    Add(mark, {1, 1});
  }
  void Begin(const YAML::Mark& mark, YAML::anchor_t anchor) {
    open_.push_back({mark, anchor, {1, 1}});
  }
  void End() {
    const Collection ended = open_.back();
    open_.pop_back();
    if (ended.anchor != YAML::NullAnchor) anchored_[ended.anchor] = ended.extent;
    Add(ended.mark, ended.extent);
  }
  // To the collection that it stands in.
  void Add(const YAML::Mark& mark, const Extent& extent) {
    if (open_.empty()) return;
    Extent& whole = open_.back().extent;
    whole.values += extent.values;
    whole.levels = std::max(whole.levels, extent.levels + 1);
    if (whole.values > kMostYamlValues) {
      throw YAML::ParserException(
          mark, absl::StrCat("more than ", kMostYamlValues, " values, aliases followed"));
    }
    if (whole.levels > kDeepestYaml) {
      throw YAML::ParserException(
          mark, absl::StrCat("nested deeper than ", kDeepestYaml, " levels, aliases followed"));
    }
  }

  int documents_ = 0;
  std::vector<Collection> open_;
  std::unordered_map<YAML::anchor_t, Extent> anchored_;
};

}  // namespace

absl::Status InvalidYaml(absl::string_view file, const YAML::Mark& mark, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "INVALID_YAML",
               absl::StrCat(file, ":", mark.line + 1, ":", mark.column + 1, ": ", what));
}

absl::StatusOr<YAML::Node> LoadYaml(absl::string_view text, absl::string_view file) {
  // yaml-cpp reports by exceptions; none leaves this function.
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Bounds bounds;
    while (parser.HandleNextDocument(bounds)) {
    }
    return YAML::Load(std::string(text));
  } catch (const YAML::Exception& exception) {
    return InvalidYaml(file, exception.mark, exception.msg);
  }
}

}  // namespace slipway
