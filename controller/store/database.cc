#include "controller/store/database.h"

#include "common/status.h"

namespace slipway::controller {

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
