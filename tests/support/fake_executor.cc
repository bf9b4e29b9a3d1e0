#include "tests/support/fake_executor.h"

#include "absl/strings/str_split.h"
#include <gtest/gtest.h>

#include "common/grpc_server.h"
#include "common/grpc_status.h"

namespace slipway::controller {

FakeExecutor::FakeExecutor(std::string name, std::string socket) : host_(std::move(name)) {
  GrpcServerOptions options;
  options.socket = std::move(socket);
  auto server = StartGrpcServer(options, {this});
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = std::move(server).value();
}

FakeExecutor::~FakeExecutor() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

void FakeExecutor::Hold(const std::string& step) {
  MutexLock lock(mutex_);
  held_ = step;
}

void FakeExecutor::Release() {
  MutexLock lock(mutex_);
  held_.clear();
  changed_.NotifyAll();
}

void FakeExecutor::AwaitStep(const std::string& step) {
  MutexLock lock(mutex_);
  while (!asked_.contains(step)) changed_.Wait(mutex_);
}

void FakeExecutor::AwaitAcknowledged(uint64_t sequence) {
  MutexLock lock(mutex_);
  while (acknowledged_ < sequence) changed_.Wait(mutex_);
}

size_t FakeExecutor::Blobs() {
  MutexLock lock(mutex_);
  return blobs_.size();
}

grpc::Status FakeExecutor::Execute(grpc::ServerContext*, const xpb::ExecuteRequest* request,
                                   grpc::ServerWriter<xpb::ExecuteResponse>* writer) {
  const std::vector<std::string> parts = absl::StrSplit(request->operation().id(), '/');
  bool cancelled = false;
  {
    MutexLock lock(mutex_);
    asked_.insert(parts.at(2));
    changed_.NotifyAll();
    while (held_ == parts.at(2) && !stopping_ && !cancelled_) changed_.Wait(mutex_);
    if (stopping_) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
    cancelled = std::exchange(cancelled_, false);
  }
  xpb::ExecuteResponse response;
  response.mutable_log()->set_text("running " + parts.at(2));
  writer->Write(response);
  if (cancelled) {
    response.mutable_result()->set_reason(pb::FAILURE_REASON_CANCELLED);
    writer->Write(response);
    return grpc::Status::OK;
  }
  const auto result = host_.Execute(*request);
  if (!result.ok()) return ToGrpc(result.status());
  *response.mutable_result() = *result;
  writer->Write(response);
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::Cancel(grpc::ServerContext*, const xpb::CancelRequest*,
                                  xpb::CancelResponse* response) {
  MutexLock lock(mutex_);
  response->set_running(!held_.empty());
  cancelled_ = !held_.empty();
  changed_.NotifyAll();
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::Inspect(grpc::ServerContext*, const xpb::InspectRequest* request,
                                   xpb::InspectResponse* response) {
  *response->add_applications() = host_.Inspect(request->app());
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::FindMissingBlobs(
    grpc::ServerContext*, const xpb::FindMissingBlobsRequest* request,
    grpc::ServerWriter<xpb::FindMissingBlobsResponse>* writer) {
  MutexLock lock(mutex_);
  if (blobs_.contains(request->manifest_digest())) return grpc::Status::OK;
  xpb::FindMissingBlobsResponse response;
  response.add_digests(request->manifest_digest());
  writer->Write(response);
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::UploadBlobs(grpc::ServerContext*,
                                       grpc::ServerReader<xpb::UploadBlobsRequest>* reader,
                                       xpb::UploadBlobsResponse*) {
  xpb::UploadBlobsRequest request;
  while (reader->Read(&request)) {
    MutexLock lock(mutex_);
    if (!request.chunk().digest().empty()) blobs_.insert(request.chunk().digest());
  }
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::Watch(grpc::ServerContext* context, const xpb::WatchRequest*,
                                 grpc::ServerWriter<xpb::WatchResponse>* writer) {
  xpb::WatchResponse response;
  response.mutable_host()->set_version("fake");
  response.mutable_host()->set_free_bytes(1000);
  *response.add_applications() = host_.Inspect("gifty");
  xpb::LocalEvent& event = *response.add_events();
  event.set_sequence(1);
  event.set_app("gifty");
  event.set_action("local_rollback");
  writer->Write(response);
  while (!context->IsCancelled()) {
    {
      MutexLock lock(mutex_);
      changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
      if (stopping_) break;
    }
    xpb::WatchResponse changed;
    *changed.add_applications() = host_.Inspect("gifty");
    if (changed.applications(0).SerializeAsString() ==
        response.applications(0).SerializeAsString()) {
      continue;
    }
    writer->Write(changed);
    response = changed;
  }
  return grpc::Status::OK;
}

grpc::Status FakeExecutor::Acknowledge(grpc::ServerContext*, const xpb::AcknowledgeRequest* request,
                                       xpb::AcknowledgeResponse*) {
  MutexLock lock(mutex_);
  acknowledged_ = std::max(acknowledged_, request->sequence());
  changed_.NotifyAll();
  return grpc::Status::OK;
}

}  // namespace slipway::controller
