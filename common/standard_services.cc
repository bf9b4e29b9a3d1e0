#include "common/standard_services.h"

#include <algorithm>
#include <set>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/server_callback.h>

#include "common/grpc_status.h"

namespace slipway {
namespace {

namespace hpb = grpc::health::v1;
namespace rpb = grpc::reflection::v1alpha;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

class Health : public hpb::Health::CallbackService {
 public:
  explicit Health(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const hpb::HealthCheckRequest* request,
                                  hpb::HealthCheckResponse* response) override {
    const bool known =
        request->service().empty() ||
        std::find(services_.begin(), services_.end(), request->service()) != services_.end();
    response->set_status(hpb::HealthCheckResponse::SERVING);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(known ? grpc::Status::OK
                          : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service here"));
    return reactor;
  }

 private:
  const std::vector<std::string> services_;
};

const FileDescriptor* FileOf(const rpb::ServerReflectionRequest& request) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  if (request.has_file_by_filename()) return pool.FindFileByName(request.file_by_filename());
  return pool.FindFileContainingSymbol(request.file_containing_symbol());
}

// Each file once, those that it imports after it.
void AddFiles(const FileDescriptor& file, std::set<const FileDescriptor*>& seen,
              rpb::FileDescriptorResponse& response) {
  if (!seen.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  response.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFiles(*file.dependency(i), seen, response);
}

rpb::ServerReflectionResponse Answer(const std::vector<std::string>& services,
                                     const rpb::ServerReflectionRequest& request) {
  rpb::ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  if (request.has_list_services()) {
    for (const std::string& service : services) {
      response.mutable_list_services_response()->add_service()->set_name(service);
    }
    return response;
  }
  // There are no extensions in proto3.
  const bool about_a_file = request.has_file_by_filename() || request.has_file_containing_symbol();
  const FileDescriptor* file = about_a_file ? FileOf(request) : nullptr;
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message("not found");
    return response;
  }
  std::set<const FileDescriptor*> seen;
  AddFiles(*file, seen, *response.mutable_file_descriptor_response());
  return response;
}

using ReflectionReactor =
    grpc::ServerBidiReactor<rpb::ServerReflectionRequest, rpb::ServerReflectionResponse>;

// Deletes itself when the call is over. Reads and writes take turns, so no two callbacks run at the same time but OnCancel(), which
// has nothing to do: the operation under way fails, and ends the call.
class ReflectionStream : public ReflectionReactor {
 public:
  ReflectionStream(const std::vector<std::string>& services, const absl::Status& admitted)
      : services_(services) {
    if (!admitted.ok()) {
      Finish(ToGrpc(admitted));
    } else {
      StartRead(&request_);
    }
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    response_ = Answer(services_, request_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

 private:
  const std::vector<std::string>& services_;
  rpb::ServerReflectionRequest request_;
  rpb::ServerReflectionResponse response_;
};

class Reflection : public rpb::ServerReflection::CallbackService {
 public:
  Reflection(std::vector<std::string> services, AdmitCall admit)
      : services_(std::move(services)), admit_(std::move(admit)) {}

  ReflectionReactor* ServerReflectionInfo(grpc::CallbackServerContext* context) override {
    return new ReflectionStream(services_, admit_(*context, rpb::ServerReflectionRequest()));
  }

 private:
  const std::vector<std::string> services_;
  const AdmitCall admit_;
};

}  // namespace

std::unique_ptr<grpc::Service> HealthService(std::vector<std::string> services) {
  return std::make_unique<Health>(std::move(services));
}

std::unique_ptr<grpc::Service> ReflectionService(std::vector<std::string> services,
                                                 AdmitCall admit) {
  return std::make_unique<Reflection>(std::move(services), std::move(admit));
}

}  // namespace slipway
