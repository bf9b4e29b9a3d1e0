#include "common/random.h"

#include <cstdlib>
#include <sys/random.h>

#include "absl/strings/escaping.h"

namespace slipway {

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  // At most 256 bytes come at once and without a signal in between; the kernel has had its entropy long ago.
  for (size_t got = 0; got < count;) {
    const ssize_t more = getrandom(bytes.data() + got, count - got, 0);
    if (more <= 0) std::abort();
    got += static_cast<size_t>(more);
  }
  return bytes;
}

std::string RandomHex(size_t bytes) { return absl::BytesToHexString(RandomBytes(bytes)); }

}  // namespace slipway
