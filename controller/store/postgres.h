// One connection to a PostgreSQL server, by libpq; the only place that knows of libpq.
//
// Statements travel as a pipeline: Post() sends and does not wait, Query() waits for its own answer and those before it. Whatever
// is waited for has an end: the server ends a statement after `statement_timeout`, and we give the connection up a little later.
//
// Errors: UNAVAILABLE, reason STORE_UNAVAILABLE, with the server's main line and code, never the values that it was about. Once
// IsBroken() nothing works any more. Used by one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "controller/store/database.h"

struct pg_conn;
struct pg_result;

namespace slipway::controller {

struct PostgresOptions {
  // libpq's keywords, such as `host=db.example.org dbname=slipway user=slipway sslmode=verify-full`; without a password.
  std::string conninfo;
  // Its first line is the password; read anew for each connection. Empty: what libpq itself finds, such as ~/.pgpass.
  std::string password_file;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds statement_timeout{30'000};
  // How long is asked, when the connection broke while a commit was under way, whether it was carried out.
  std::chrono::milliseconds settle_timeout{30'000};
};

// INVALID_ARGUMENT (reason BAD_DATABASE) for a conninfo that libpq cannot read, or with a password in it.
absl::Status Check(const PostgresOptions& options);

// What NOTIFY says: on which channel, and what.
struct PostgresNotice {
  std::string channel;
  std::string payload;
};

class PostgresConnection {
 public:
  // Commits of this connection are on the disk before they are answered, whatever the server's default is. FAILED_PRECONDITION
  // (reason PASSWORD_FILE, POSTGRES_TOO_OLD, POSTGRES_ENCODING), UNAVAILABLE (reason STORE_UNAVAILABLE) when nothing answers or the login fails.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Connect(
      const PostgresOptions& options);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  bool IsBroken() const;
  // For statements that may take long: neither side gives up before this. The next transaction is held to what the options say.
  absl::Status AllowForTransaction(std::chrono::milliseconds time);

  // One or more statements without parameters.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<std::unique_ptr<Rows>> Query(absl::string_view sql, const Values& values);
  absl::Status Post(absl::string_view sql, const Values& values);
  // When this fails and the connection is broken, it may have been committed.
  absl::Status Commit();
  absl::Status Rollback();

  // After LISTEN: waits until there are notices, or until the descriptor can be read (then there may be none).
  absl::StatusOr<std::vector<PostgresNotice>> AwaitNotices(int wake);

 private:
  class Result;
  struct ResultDeleter {
    void operator()(pg_result* result) const;
  };
  using ResultPointer = std::unique_ptr<pg_result, ResultDeleter>;
  // A statement's name on the server, once the server has taken it.
  struct Prepared {
    std::string name;
    bool known = false;
  };

  PostgresConnection(pg_conn* handle, const PostgresOptions& options)
      : handle_(handle), patience_(options.statement_timeout), usual_patience_(patience_) {}

  absl::Status SetUp();
  absl::Status Send(absl::string_view sql, const Values& values);
  // Waits for the answers to all that was sent; the last one's, or the first error.
  absl::StatusOr<ResultPointer> Settle();
  absl::StatusOr<ResultPointer> SettleSent();
  // Waits until PQgetResult() does not block.
  absl::Status AwaitResult(std::chrono::steady_clock::time_point deadline);
  absl::Status GiveUp(absl::string_view what);
  absl::Status ErrorOf(const pg_result* result) const;
  absl::Status Problem(absl::string_view what) const;
  std::string Place() const;

  pg_conn* handle_;
  bool given_up_ = false;
  std::chrono::milliseconds patience_;
  const std::chrono::milliseconds usual_patience_;
  std::map<std::string, Prepared, std::less<>> statements_;
  // What was sent and not answered, oldest first: null for a statement, else one that is being prepared.
  std::vector<Prepared*> sent_;
  size_t sent_bytes_ = 0;
};

}  // namespace slipway::controller
