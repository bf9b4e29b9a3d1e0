#include "controller/store/secret_box.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include <sodium.h>

#include "common/file.h"
#include "common/status.h"

namespace slipway::controller {
namespace {

constexpr size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Context(absl::string_view app, uint64_t revision) {
  return absl::StrCat("slipway environment 1:", app, ":", revision);
}

absl::Status CheckOwner(const std::filesystem::path& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return ErrnoError(absl::StrCat("stat ", file.string()));
  if ((info.st_mode & 077) == 0 && (info.st_uid == geteuid() || info.st_uid == 0)) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kFailedPrecondition, "KEY_FILE_EXPOSED",
               absl::StrCat(file.string(), " may be read by others than its owner"),
               absl::StrCat("consider the stored secrets known; then chmod 600 ", file.string()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SecretBox>> SecretBox::Open(const std::filesystem::path& key_file) {
  if (sodium_init() < 0) return absl::InternalError("libsodium does not start");
  static_assert(kKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  absl::StatusOr<std::string> text = ReadFile(key_file);
  if (absl::IsNotFound(text.status())) {
    std::string key(kKeyBytes, '\0');
    randombytes_buf(key.data(), key.size());
    SLIPWAY_RETURN_IF_ERROR(WriteFileAtomically(key_file, key, 0600));
    text = std::move(key);
  }
  SLIPWAY_RETURN_IF_ERROR(text.status());
  SLIPWAY_RETURN_IF_ERROR(CheckOwner(key_file));
  if (text->size() != kKeyBytes) {
    return Error(absl::StatusCode::kDataLoss, "KEY_FILE_DAMAGED",
                 absl::StrCat(key_file.string(), " does not hold a key of 32 bytes"),
                 "put the right file back from a backup");
  }
  std::unique_ptr<SecretBox> box(new SecretBox);
  std::copy(text->begin(), text->end(), box->key_.begin());
  sodium_memzero(text->data(), text->size());
  return box;
}

SecretBox::~SecretBox() { sodium_memzero(key_.data(), key_.size()); }

std::string SecretBox::Seal(absl::string_view app, uint64_t revision,
                            absl::string_view text) const {
  const std::string context = Context(app, revision);
  std::string sealed(kNonceBytes + text.size() + kTagBytes, '\0');
  auto* nonce = reinterpret_cast<unsigned char*>(sealed.data());
  randombytes_buf(nonce, kNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + kNonceBytes, nullptr, Bytes(text), text.size(),
                                             Bytes(context), context.size(), nullptr, nonce,
                                             key_.data());
  return sealed;
}

absl::StatusOr<std::string> SecretBox::Unseal(absl::string_view app, uint64_t revision,
                                              absl::string_view sealed) const {
  const std::string context = Context(app, revision);
  if (sealed.size() >= kNonceBytes + kTagBytes) {
    std::string text(sealed.size() - kNonceBytes - kTagBytes, '\0');
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            reinterpret_cast<unsigned char*>(text.data()), nullptr, nullptr,
            Bytes(sealed) + kNonceBytes, sealed.size() - kNonceBytes, Bytes(context),
            context.size(), Bytes(sealed), key_.data()) == 0) {
      return text;
    }
  }
  return Error(absl::StatusCode::kDataLoss, "CANNOT_DECRYPT",
               absl::StrCat("environment revision ", revision, " of ", app, " cannot be opened"),
               "the key file does not belong to this database: put the right one back, or set the "
               "environment anew");
}

std::string SecretBox::Fingerprint(absl::string_view app, absl::string_view text) const {
  std::string digest(crypto_generichash_BYTES, '\0');
  crypto_generichash_state state;
  crypto_generichash_init(&state, key_.data(), key_.size(), digest.size());
  const std::string context = absl::StrCat("slipway fingerprint 1:", app, ":");
  crypto_generichash_update(&state, Bytes(context), context.size());
  crypto_generichash_update(&state, Bytes(text), text.size());
  crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(digest.data()), digest.size());
  return digest;
}

}  // namespace slipway::controller
