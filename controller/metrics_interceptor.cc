#include "controller/metrics_interceptor.h"

#include <memory>
#include <utility>
#include <vector>

#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

namespace slipway::controller {
namespace {

using grpc::experimental::InterceptionHookPoints;

class CallInterceptor : public grpc::experimental::Interceptor {
 public:
  CallInterceptor(const CallObserver& observer, const grpc::experimental::ServerRpcInfo& info)
      : observer_(observer),
        method_(info.method()),
        is_unary_(info.type() == grpc::experimental::ServerRpcInfo::Type::UNARY) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      std::optional<std::chrono::nanoseconds> time;
      if (is_unary_) time = std::chrono::steady_clock::now() - start_;
      observer_(method_, methods->GetSendStatus().error_code(), time);
    }
    methods->Proceed();
  }

 private:
  const CallObserver& observer_;
  const std::string method_;
  const bool is_unary_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(CallObserver observer) : observer_(std::move(observer)) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new CallInterceptor(observer_, *info);
  }

 private:
  const CallObserver observer_;
};

}  // namespace

void AddMetricsInterceptor(grpc::ServerBuilder& builder, CallObserver observer) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<Factory>(std::move(observer)));
  builder.experimental().SetInterceptorCreators(std::move(factories));
}

}  // namespace slipway::controller
