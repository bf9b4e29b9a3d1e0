#include "common/finding.h"

#include <string>

namespace slipway {

pb::Finding Found(pb::FindingLevel level, absl::string_view subject, absl::string_view text,
                  absl::string_view cure) {
  pb::Finding finding;
  finding.set_level(level);
  finding.set_subject(std::string(subject));
  finding.set_text(std::string(text));
  finding.set_cure(std::string(cure));
  return finding;
}

}  // namespace slipway
