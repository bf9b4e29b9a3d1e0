// Owns what OpenSSL hands out: std::unique_ptr<X509, Free<X509_free>>.
#pragma once

#include <memory>

namespace slipway {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};

}  // namespace slipway
