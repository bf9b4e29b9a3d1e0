// The placeholder that a site can be loaded with before the first deployment of its application.
#include "common/status.h"
#include "executor/facts.h"
#include "executor/steps/steps.h"

namespace slipway::executor {

absl::StatusOr<PlacedFile> Steps::WritePlaceholder(xpb::ApplicationFacts& facts,
                                                   const NginxSite& site) {
  // On record before it is written, so that it is found whatever file a later specification names.
  xpb::ApplicationFacts kept = parts_.journal.FactsOf(site.app);
  kept.set_placeholder_file(site.file.string());
  SLIPWAY_RETURN_IF_ERROR(Commit(parts_.journal, kept));
  facts.set_placeholder_file(site.file.string());
  return parts_.nginx.PlacePlaceholder(site);
}

absl::Status Steps::ForgetPlaceholderElsewhere(xpb::ApplicationFacts& facts,
                                               const NginxSite& site) {
  if (facts.placeholder_file().empty() || facts.placeholder_file() == site.file.string()) {
    return absl::OkStatus();
  }
  NginxSite elsewhere = site;
  elsewhere.file = facts.placeholder_file();
  SLIPWAY_RETURN_IF_ERROR(parts_.nginx.RemovePlaceholder(elsewhere));
  xpb::ApplicationFacts kept = parts_.journal.FactsOf(site.app);
  kept.clear_placeholder_file();
  facts.clear_placeholder_file();
  return Commit(parts_.journal, kept);
}

absl::StatusOr<PlacedFile> Steps::PlaceUpstream(const pb::ApplicationSpec& spec) {
  if (spec.has_site()) return PlacedFile();
  xpb::ApplicationFacts facts = parts_.journal.FactsOf(spec.app());
  if (facts.active_slot() != pb::SLOT_UNSPECIFIED) return PlacedFile();
  SLIPWAY_RETURN_IF_ERROR(ReserveProofPorts(spec, facts));
  const NginxSite site = SiteOf(spec, facts);
  SLIPWAY_RETURN_IF_ERROR(ForgetPlaceholderElsewhere(facts, site));
  return WritePlaceholder(facts, site);
}

}  // namespace slipway::executor
