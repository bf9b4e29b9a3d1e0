#include "executor/doctor.h"

#include <algorithm>
#include <sys/statvfs.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/durations.h"
#include "common/finding.h"
#include "common/status.h"
#include "common/user.h"
#include "executor/drivers/evidence_text.h"
#include "executor/drivers/nginx_diagnose.h"

namespace slipway::executor {

std::vector<pb::Finding> Doctor::Examine(const std::optional<pb::ApplicationSpec>& spec) {
  std::vector<pb::Finding> findings = {CheckDocker(),    CheckAddresses(),  CheckCompose(),
                                       CheckNginx(spec), CheckReload(),     CheckRemoval(),
                                       CheckDisk(),      CheckCertificate()};
  if (!spec) return findings;
  for (pb::Finding& finding : CheckApplication(*spec)) findings.push_back(std::move(finding));
  return findings;
}

pb::Finding Doctor::CheckDocker() {
  const auto version = engine_.Version();
  if (version.ok()) return Found(pb::FINDING_LEVEL_OK, "docker", absl::StrCat("Engine ", *version));
  return Found(pb::FINDING_LEVEL_PROBLEM, "docker", std::string(version.status().message()),
               absl::StrCat("systemctl start docker; where it runs: usermod -aG docker ",
                            UserName(), ", and start the executor anew"));
}

pb::Finding Doctor::CheckAddresses() {
  // An application needs up to four networks.
  constexpr uint64_t kFew = 4;
  const auto pieces = engine_.CountAddressPieces();
  if (!pieces.ok())
    return Found(pb::FINDING_LEVEL_WARNING, "networks", std::string(pieces.status().message()));
  const std::string text =
      absl::StrCat("Docker has addresses for ", pieces->free, " more networks");
  if (pieces->free >= kFew) return Found(pb::FINDING_LEVEL_OK, "networks", text);
  return Found(pieces->free == 0 ? pb::FINDING_LEVEL_PROBLEM : pb::FINDING_LEVEL_WARNING,
               "networks", text, kMoreAddresses);
}

pb::Finding Doctor::CheckCompose() {
  return Found(pb::FINDING_LEVEL_OK, "compose", compose_version_);
}

pb::Finding Doctor::CheckNginx(const std::optional<pb::ApplicationSpec>& spec) {
  Command command;
  command.argv = nginx_.test;
  const auto result = runner_.Run(command);
  if (!result.ok()) {
    return Found(pb::FINDING_LEVEL_PROBLEM, "nginx", std::string(result.status().message()),
                 "apt-get install nginx");
  }
  const bool waits = !result->ok() && spec && !spec->has_site() &&
                     ComplainsOfMissingFile(result->standard_error, spec->nginx().file(),
                                            spec->nginx().upstream());
  if (!result->ok() && !waits) {
    return Found(pb::FINDING_LEVEL_PROBLEM, "nginx",
                 absl::StrCat("`", absl::StrJoin(nginx_.test, " "), "` fails: ",
                              absl::StrJoin(LastLines(result->standard_error, 3), "; ")),
                 absl::StrCat("mend the file that nginx names; no site on this host can be changed "
                              "until then",
                              spec ? ""
                                   : ". Is it the file that an application's first deployment "
                                     "writes? `slipway doctor APP` knows"));
  }
  const auto master = ProcReader().NginxMaster(nginx_.pid_file);
  if (!master.ok()) {
    return Found(pb::FINDING_LEVEL_PROBLEM, "nginx", "is not running", "systemctl start nginx");
  }
  if (waits) {
    return Found(pb::FINDING_LEVEL_WARNING, "nginx",
                 absl::StrCat("runs as process ", *master, ", and cannot reload before ",
                              spec->nginx().file(), " exists"),
                 "the first deployment writes it");
  }
  return Found(pb::FINDING_LEVEL_OK, "nginx",
               absl::StrCat("runs as process ", *master, ", its configuration is good"));
}

// Asked of sudo, not tried: a reload is nobody's test, and there may be nothing to remove.
pb::Finding Doctor::CheckSudo(const std::string& subject, const std::vector<std::string>& argv,
                              const std::string& allowance) {
  if (argv.size() < 3 || argv[0] != "sudo") {
    return Found(pb::FINDING_LEVEL_OK, subject, absl::StrJoin(argv, " "));
  }
  Command command;
  command.argv = {"sudo", "-n", "-l"};
  const auto words = std::find_if(argv.begin() + 1, argv.end(),
                                  [](const std::string& word) { return word[0] != '-'; });
  command.argv.insert(command.argv.end(), words, argv.end());
  const std::string asked = absl::StrJoin(words, argv.end(), " ");
  const auto allowed = runner_.Run(command);
  if (allowed.ok() && allowed->ok())
    return Found(pb::FINDING_LEVEL_OK, subject, absl::StrCat("sudo allows ", asked));
  return Found(
      pb::FINDING_LEVEL_PROBLEM, subject, absl::StrCat("sudo does not allow ", asked),
      absl::StrCat("let root add this line to /etc/sudoers.d/slipway-executor (visudo): ",
                   UserName(), " ALL=(root) NOPASSWD: ", allowance.empty() ? asked : allowance));
}

pb::Finding Doctor::CheckReload() {
  return CheckSudo("reload", nginx_.reload,
                   "/usr/sbin/nginx -t, /usr/sbin/nginx -T, /usr/sbin/nginx -s reload");
}

// Without it everything works but for one thing: releases in which a container wrote as root stay.
pb::Finding Doctor::CheckRemoval() {
  if (remove_release_.empty())
    return Found(pb::FINDING_LEVEL_OK, "removal", "releases are removed as root");
  pb::Finding finding = CheckSudo("removal", remove_release_, "");
  if (finding.level() == pb::FINDING_LEVEL_OK) return finding;
  finding.set_level(pb::FINDING_LEVEL_WARNING);
  finding.set_text(
      absl::StrCat(finding.text(), ": releases into which a container of root wrote stay"));
  // Root runs no program that this user may write, as one in its home is.
  const auto program =
      std::find_if(remove_release_.begin() + 1, remove_release_.end(),
                   [](const std::string& word) { return !word.empty() && word[0] == '/'; });
  if (program == remove_release_.end() || access(program->c_str(), X_OK) != 0)
    finding.set_cure(
        "install the package of the executor, which brings the program that removes them");
  return finding;
}

pb::Finding Doctor::CheckCertificate() {
  const auto present = credentials_.Present();
  if (!present) {
    return Found(pb::FINDING_LEVEL_OK, "certificate", "none: reached by its socket alone");
  }
  const auto left = present->not_after - std::chrono::system_clock::now();
  if (left.count() > 0) {
    return Found(
        pb::FINDING_LEVEL_OK, "certificate",
        absl::StrCat("of ", present->principal.subject, ", good for ", FormatDuration(left)));
  }
  return Found(pb::FINDING_LEVEL_PROBLEM, "certificate",
               "has ended; the controller could not renew it in time",
               absl::StrCat("slipway hosts add ", present->principal.subject,
                            " --ssh USER@HOST enrols it anew"));
}

pb::Finding Doctor::CheckDisk() {
  struct statvfs info {};
  if (statvfs(paths_.State().c_str(), &info) != 0) {
    return Found(pb::FINDING_LEVEL_PROBLEM, "disk",
                 std::string(ErrnoError(paths_.State().string()).message()));
  }
  const uint64_t free_mib = static_cast<uint64_t>(info.f_bavail) * info.f_frsize >> 20;
  const std::string text = absl::StrCat(free_mib, " MiB free at ", paths_.State().string());
  if (free_mib < 1024) return Found(pb::FINDING_LEVEL_WARNING, "disk", text, "docker image prune");
  return Found(pb::FINDING_LEVEL_OK, "disk", text);
}

std::vector<pb::Finding> Doctor::CheckApplication(const pb::ApplicationSpec& spec) {
  std::vector<pb::Finding> findings;
  const std::filesystem::path folder =
      spec.has_site() ? paths_.Sites() : std::filesystem::path(spec.nginx().file()).parent_path();
  if (access(folder.c_str(), W_OK | X_OK) == 0) {
    findings.push_back(Found(pb::FINDING_LEVEL_OK, "permission",
                             absl::StrCat(folder.string(), " may be written")));
  } else {
    findings.push_back(Found(pb::FINDING_LEVEL_PROBLEM, "permission",
                             absl::StrCat(folder.string(), " may not be written"),
                             absl::StrCat("setfacl -m u:", UserName(), ":rwx ", folder.string())));
  }
  xpb::PlanRequest request;
  *request.mutable_spec() = spec;
  const pb::HostPlan plan = steps_.Plan(request);
  for (const std::string& problem : plan.problems()) {
    findings.push_back(Found(pb::FINDING_LEVEL_PROBLEM, spec.app(), problem));
  }
  for (const std::string& note : plan.notes())
    findings.push_back(Found(pb::FINDING_LEVEL_WARNING, spec.app(), note));
  if (plan.problems().empty())
    findings.push_back(Found(pb::FINDING_LEVEL_OK, spec.app(), "could be deployed here"));
  return findings;
}

}  // namespace slipway::executor
