#include "executor/api/executor_service.h"

#include <algorithm>
#include <sys/statvfs.h>

#include "absl/strings/str_cat.h"

#include "common/blob_transfer.h"
#include "common/durations.h"
#include "common/grpc_status.h"
#include "common/names.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/version.h"
#include "executor/doctor.h"
#include "executor/host_watch.h"

namespace slipway::executor {
namespace {

// The first line of every handler.
#define SLIPWAY_ADMIT(context, request)                                                 \
  if (const absl::Status admitted = gate_.Admit(*(context), request); !admitted.ok()) { \
    return ToGrpc(admitted);                                                            \
  }                                                                                     \
  static_assert(true)

constexpr int kDigestsPerPage = 4096;
// How old the figures of a quiet host may be.
constexpr auto kSignOfLife = std::chrono::seconds(10);

absl::Status CheckApp(const std::string& app) {
  if (IsApplicationName(app)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", app, "' is no application name"));
}

}  // namespace

grpc::Status ExecutorService::Execute(grpc::ServerContext* context,
                                      const xpb::ExecuteRequest* request,
                                      grpc::ServerWriter<xpb::ExecuteResponse>* writer) {
  SLIPWAY_ADMIT(context, *request);
  if (absl::Status status = CheckApp(request->operation().app()); !status.ok())
    return ToGrpc(status);
  const std::string step = StepWord(*request);
  const auto result = parts_.operations.Execute(*request, [&](absl::string_view line) {
    xpb::ExecuteResponse response;
    response.mutable_log()->set_step(step);
    response.mutable_log()->set_text(std::string(line));
    return writer->Write(response);
  });
  if (!result.ok()) return ToGrpc(result.status());
  xpb::ExecuteResponse response;
  *response.mutable_result() = *result;
  writer->Write(response);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::Cancel(grpc::ServerContext* context,
                                     const xpb::CancelRequest* request,
                                     xpb::CancelResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  response->set_running(parts_.operations.Cancel(request->app(), request->operation_id()));
  return grpc::Status::OK;
}

absl::StatusOr<xpb::ApplicationState> ExecutorService::StateOf(const std::string& app) {
  SLIPWAY_ASSIGN_OR_RETURN(xpb::ApplicationState state, parts_.steps.Inspect(app));
  state.set_running_operation(parts_.operations.Running(app));
  return state;
}

grpc::Status ExecutorService::Inspect(grpc::ServerContext* context,
                                      const xpb::InspectRequest* request,
                                      xpb::InspectResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  std::vector<std::string> apps = {request->app()};
  if (request->app().empty()) apps = parts_.journal.Applications();
  for (const std::string& app : apps) {
    if (request->compare()) {
      const auto compared =
          parts_.steps.Compare(app, [&] { return parts_.operations.Running(app).empty(); });
      if (!compared.ok()) return ToGrpc(compared.status());
      if (*compared) parts_.watch.Changed();
    }
    const auto state = StateOf(app);
    if (!state.ok()) return ToGrpc(state.status());
    *response->add_applications() = *state;
  }
  return grpc::Status::OK;
}

grpc::Status ExecutorService::FindMissingBlobs(
    grpc::ServerContext* context, const xpb::FindMissingBlobsRequest* request,
    grpc::ServerWriter<xpb::FindMissingBlobsResponse>* writer) {
  SLIPWAY_ADMIT(context, *request);
  const auto missing = parts_.releases.FindMissing(request->manifest_digest());
  if (!missing.ok()) return ToGrpc(missing.status());
  xpb::FindMissingBlobsResponse page;
  for (const std::string& digest : *missing) {
    page.add_digests(digest);
    if (page.digests_size() < kDigestsPerPage) continue;
    writer->Write(page);
    page.Clear();
  }
  if (page.digests_size() > 0) writer->Write(page);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::UploadBlobs(grpc::ServerContext* context,
                                          grpc::ServerReader<xpb::UploadBlobsRequest>* reader,
                                          xpb::UploadBlobsResponse* response) {
  xpb::UploadBlobsRequest request;
  SLIPWAY_ADMIT(context, request);
  BlobReceiver receiver(parts_.releases.Blobs());
  while (reader->Read(&request)) {
    if (absl::Status status = receiver.Take(request.chunk()); !status.ok()) return ToGrpc(status);
  }
  auto totals = receiver.Finish();
  if (!totals.ok()) return ToGrpc(totals.status());
  *response->mutable_totals() = *std::move(totals);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::Plan(grpc::ServerContext* context, const xpb::PlanRequest* request,
                                   xpb::PlanResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  if (absl::Status status = ValidateSpec(request->spec()); !status.ok()) return ToGrpc(status);
  *response->mutable_plan() = parts_.steps.Plan(*request);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::Check(grpc::ServerContext* context, const xpb::CheckRequest* request,
                                    xpb::CheckResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  std::optional<pb::ApplicationSpec> spec;
  if (request->has_spec()) spec = request->spec();
  for (pb::Finding& finding : parts_.doctor.Examine(spec))
    *response->add_findings() = std::move(finding);
  *response->mutable_time() = ToProto(std::chrono::system_clock::now());
  return grpc::Status::OK;
}

grpc::Status ExecutorService::PlaceUpstream(grpc::ServerContext* context,
                                            const xpb::PlaceUpstreamRequest* request,
                                            xpb::PlaceUpstreamResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  if (absl::Status status = ValidateSpec(request->spec()); !status.ok()) return ToGrpc(status);
  absl::StatusOr<PlacedFile> placed = PlacedFile();
  parts_.operations.WhileIdle(request->spec().app(),
                              [&] { placed = parts_.steps.PlaceUpstream(request->spec()); });
  if (!placed.ok()) return ToGrpc(placed.status());
  response->set_written(placed->written);
  response->set_loaded(placed->loaded);
  if (!placed->waits_for.ok()) response->set_waits_for(MessageWithCure(placed->waits_for));
  return grpc::Status::OK;
}

grpc::Status ExecutorService::StreamLogs(grpc::ServerContext* context,
                                         const xpb::StreamLogsRequest* request,
                                         grpc::ServerWriter<xpb::StreamLogsResponse>* writer) {
  SLIPWAY_ADMIT(context, *request);
  if (absl::Status status = CheckApp(request->app()); !status.ok()) return ToGrpc(status);
  const auto state = parts_.steps.Inspect(request->app());
  if (!state.ok()) return ToGrpc(state.status());
  const int tail = request->tail() == 0 ? 100 : request->tail();
  Workload& workload = parts_.steps.WorkloadOf(parts_.journal.FactsOf(request->app()).spec());
  return ToGrpc(workload.StreamLogs(request->app(), state->active_slot(), request->service(),
                                    request->follow(), tail,
                                    [&](absl::string_view service, absl::string_view line) {
                                      xpb::StreamLogsResponse response;
                                      response.set_service(std::string(service));
                                      response.set_line(std::string(line));
                                      return !context->IsCancelled() && writer->Write(response);
                                    }));
}

xpb::HostInfo ExecutorService::DescribeHost() {
  xpb::HostInfo host;
  host.set_version(kVersion);
  struct statvfs info {};
  if (statvfs(parts_.paths.State().c_str(), &info) == 0) {
    host.set_free_bytes(static_cast<uint64_t>(info.f_bavail) * info.f_frsize);
  }
  host.set_nginx_old_workers(parts_.nginx.OldWorkers());
  const auto count = [&host](const std::string& name, uint64_t value) {
    xpb::Counter& counter = *host.add_counters();
    counter.set_name(name);
    counter.set_value(static_cast<double>(value));
  };
  for (const auto& [outcome, times] : parts_.nginx.ReloadCounters())
    count(absl::StrCat("reloads:", outcome), times);
  count("stale_epoch", parts_.operations.StaleEpochs());
  for (const auto& [outcome, times] : parts_.steps.Recovered())
    count(absl::StrCat("resumes:", outcome), times);
  count("resumes:again", parts_.operations.RunAgain());
  if (const auto certificate = parts_.credentials.Present()) {
    *host.mutable_certificate_expire_time() = ToProto(certificate->not_after);
  }
  return host;
}

grpc::Status ExecutorService::Watch(grpc::ServerContext* context, const xpb::WatchRequest* request,
                                    grpc::ServerWriter<xpb::WatchResponse>* writer) {
  SLIPWAY_ADMIT(context, *request);
  uint64_t mark = 0;
  uint64_t sent_event = 0;
  while (!context->IsCancelled() && !parts_.watch.Stopped()) {
    // The mark is taken before the look: what changes in between is looked at once more.
    mark = parts_.watch.WaitForChange(0, std::chrono::nanoseconds(0));
    xpb::WatchResponse response;
    *response.mutable_host() = DescribeHost();
    for (const std::string& app : parts_.journal.Applications()) {
      if (auto state = StateOf(app); state.ok()) *response.add_applications() = *std::move(state);
    }
    for (xpb::LocalEvent& event : parts_.journal.UnacknowledgedEvents()) {
      if (event.sequence() <= sent_event) continue;
      sent_event = event.sequence();
      *response.add_events() = std::move(event);
    }
    if (!writer->Write(response)) break;
    parts_.watch.WaitForChange(mark, kSignOfLife);
  }
  return grpc::Status::OK;
}

grpc::Status ExecutorService::Acknowledge(grpc::ServerContext* context,
                                          const xpb::AcknowledgeRequest* request,
                                          xpb::AcknowledgeResponse*) {
  SLIPWAY_ADMIT(context, *request);
  xpb::JournalRecord record;
  record.mutable_acknowledged()->set_sequence(
      std::min(request->sequence(), parts_.journal.LastEventSequence()));
  return ToGrpc(parts_.journal.Append(record));
}

grpc::Status ExecutorService::RollbackLocally(grpc::ServerContext* context,
                                              const xpb::RollbackLocallyRequest* request,
                                              xpb::RollbackLocallyResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  if (absl::Status status = CheckApp(request->app()); !status.ok()) return ToGrpc(status);
  std::string release;
  const auto result = parts_.operations.RunLocally(request->app(), [&](const StepCall& call) {
    return parts_.steps.RollBack(request->app(), call, &release);
  });
  if (!result.ok()) return ToGrpc(result.status());
  xpb::LocalEvent event;
  event.set_app(request->app());
  event.set_actor(request->actor());
  event.set_action("local_rollback");
  event.set_outcome(result->succeeded() ? "ok" : "failed");
  event.set_release(release);
  event.set_detail(result->summary());
  if (absl::Status status = parts_.watch.Record(event); !status.ok()) return ToGrpc(status);
  *response->mutable_result() = *result;
  response->set_release(release);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::CreateCertificateRequest(
    grpc::ServerContext* context, const xpb::CreateCertificateRequestRequest* request,
    xpb::CreateCertificateRequestResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  const auto present = parts_.credentials.Present();
  // Not enrolled: there is nothing to renew.
  if (!present) return grpc::Status::OK;
  auto wanted = parts_.credentials.Request();
  if (!wanted.ok()) return ToGrpc(wanted.status());
  response->set_certificate_request(*std::move(wanted));
  *response->mutable_expire_time() = ToProto(present->not_after);
  return grpc::Status::OK;
}

grpc::Status ExecutorService::InstallCertificate(grpc::ServerContext* context,
                                                 const xpb::InstallCertificateRequest* request,
                                                 xpb::InstallCertificateResponse*) {
  SLIPWAY_ADMIT(context, *request);
  absl::Status done;
  if (!request->certificate_pem().empty()) {
    done = parts_.credentials.Install(request->certificate_pem(), request->authority_pem());
  }
  if (done.ok() && !request->revoked_pem().empty()) {
    done = parts_.credentials.Revoke(request->revoked_pem());
  }
  return ToGrpc(done);
}

grpc::Status ExecutorService::KeepHistoryHead(grpc::ServerContext* context,
                                              const xpb::KeepHistoryHeadRequest* request,
                                              xpb::KeepHistoryHeadResponse*) {
  SLIPWAY_ADMIT(context, *request);
  const auto kept = parts_.journal.HistoryHead();
  const bool other = kept && kept->sequence() == request->head().sequence() &&
                     kept->hash() != request->head().hash();
  const bool newer = kept && kept->sequence() > request->head().sequence();
  if ((other || newer) && !request->after_restore()) {
    return ToGrpc(Error(
        absl::StatusCode::kFailedPrecondition, "OLDER_HEAD",
        absl::StrCat("this host remembers ", other ? "another row " : "row ", kept->sequence(),
                     " of the history, and is told of row ", request->head().sequence()),
        "`slipway audit verify` says what is missing"));
  }
  xpb::JournalRecord record;
  *record.mutable_history_head() = request->head();
  return ToGrpc(parts_.journal.Append(record));
}

grpc::Status ExecutorService::GetHistoryHead(grpc::ServerContext* context,
                                             const xpb::GetHistoryHeadRequest* request,
                                             xpb::GetHistoryHeadResponse* response) {
  SLIPWAY_ADMIT(context, *request);
  if (const auto kept = parts_.journal.HistoryHead()) *response->mutable_head() = *kept;
  return grpc::Status::OK;
}

}  // namespace slipway::executor
