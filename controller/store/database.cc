#include "controller/store/database.h"

#include "common/status.h"
#include "common/utf8.h"

namespace slipway::controller {

std::string StorableText(absl::string_view text) {
  std::string storable;
  storable.reserve(text.size());
  while (!text.empty()) {
    const size_t length = text.front() == '\0' ? 0 : Utf8Length(text);
    storable.append(length == 0 ? "\xef\xbf\xbd" : std::string(text.substr(0, length)));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return storable;
}

Statement& Statement::Bind(int64_t value) {
  values_.push_back({Value::Kind::kInteger, value, ""});
  return *this;
}

Statement& Statement::Bind(absl::string_view text) {
  values_.push_back({Value::Kind::kText, 0, std::string(text)});
  return *this;
}

Statement& Statement::BindBlob(absl::string_view bytes) {
  values_.push_back({Value::Kind::kBlob, 0, std::string(bytes)});
  return *this;
}

Statement& Statement::BindNull() {
  values_.emplace_back();
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (rows_ == nullptr) {
    SLIPWAY_ASSIGN_OR_RETURN(rows_, database_.Query(sql_, values_));
  }
  return rows_->Next();
}

absl::StatusOr<bool> Statement::ScanStep() {
  if (rows_ == nullptr) {
    SLIPWAY_ASSIGN_OR_RETURN(rows_, database_.Scan(sql_));
  }
  return rows_->Next();
}

absl::Status Statement::Run() { return Step().status(); }

absl::Status WriteTransaction::Begin() {
  SLIPWAY_RETURN_IF_ERROR(database_.BeginWrite());
  open_ = true;
  return absl::OkStatus();
}

absl::Status WriteTransaction::Commit() {
  SLIPWAY_RETURN_IF_ERROR(database_.Commit());
  open_ = false;
  return absl::OkStatus();
}

}  // namespace slipway::controller
