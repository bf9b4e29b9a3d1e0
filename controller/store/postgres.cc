#include "controller/store/postgres.h"

#include <algorithm>
#include <optional>
#include <poll.h>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <endian.h>
#include <libpq-fe.h>

#include "common/file.h"
#include "common/logging.h"
#include "common/status.h"
#include "common/utf8.h"

namespace slipway::controller {
namespace {

using std::chrono::milliseconds;
using Deadline = std::chrono::steady_clock::time_point;

// Of the server's catalogue, where they never change.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;

constexpr int kOldestServer = 13'00'00;
// No more than this is sent before the answers are fetched.
constexpr size_t kMostSent = 1'000;
constexpr size_t kMostBytesSent = 4 << 20;
// After the server should have given a statement up, for its answer to travel.
constexpr milliseconds kAnswer{5'000};

absl::Status BadDatabase(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_DATABASE",
               absl::StrCat("database.postgres: ", what),
               "write it as libpq takes it: host=db.example.org dbname=slipway user=slipway; the "
               "password goes into database.password_file");
}

using Keywords = std::map<std::string, std::string>;

absl::StatusOr<Keywords> Parse(const std::string& conninfo) {
  // libpq would look for a server by itself then.
  if (conninfo.empty()) return BadDatabase("is missing");
  char* problem = nullptr;
  PQconninfoOption* options = PQconninfoParse(conninfo.c_str(), &problem);
  if (options == nullptr) {
    // libpq's words may quote what it stumbled over, and that may be a password.
    PQfreemem(problem);
    return BadDatabase("cannot be read");
  }
  Keywords keywords;
  for (PQconninfoOption* one = options; one->keyword != nullptr; ++one) {
    if (one->val != nullptr) keywords[one->keyword] = one->val;
  }
  PQconninfoFree(options);
  for (const char* secret : {"password", "sslpassword"}) {
    if (keywords.count(secret) > 0) return BadDatabase(absl::StrCat(secret, " is not taken here"));
  }
  return keywords;
}

absl::StatusOr<std::string> ReadPassword(const std::string& file) {
  const auto bad = [&file](absl::string_view what) {
    return Error(absl::StatusCode::kFailedPrecondition, "PASSWORD_FILE",
                 absl::StrCat("database.password_file: ", file, " ", what),
                 "let its first line be the password, and its owner alone read it (chmod 600)");
  };
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return bad("cannot be read");
  if ((info.st_mode & 077) != 0) return bad("may be read by others than its owner");
  const auto text = ReadFile(file);
  if (!text.ok()) return bad("cannot be read");
  std::string password(absl::StripTrailingAsciiWhitespace(text->substr(0, text->find('\n'))));
  if (password.empty()) return bad("is empty");
  return password;
}

// What the user has not said, so that neither a lost network nor a lost server is waited for for ever.
Keywords WithDefaults(Keywords keywords, const PostgresOptions& options) {
  const auto seconds = std::max<int64_t>(
      2, std::chrono::duration_cast<std::chrono::seconds>(options.connect_timeout).count());
  const Keywords defaults = {
      {"connect_timeout", absl::StrCat(seconds)},
      {"keepalives_idle", "10"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", "20000"},
      // Of several hosts the one that takes writes, which after a failover is another.
      {"target_session_attrs", "read-write"},
      {"application_name", "slipway-controller"}};
  keywords.insert(defaults.begin(), defaults.end());
  keywords["client_encoding"] = "UTF8";
  return keywords;
}

// `?` and `?1` become $1; what is quoted stays.
std::string WithNumbers(absl::string_view sql) {
  std::string text;
  int last = 0;
  bool quoted = false;
  for (size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] == '\'') quoted = !quoted;
    if (sql[i] != '?' || quoted) {
      text.push_back(sql[i]);
    } else if (i + 1 < sql.size() && absl::ascii_isdigit(static_cast<unsigned char>(sql[i + 1]))) {
      text.push_back('$');
    } else {
      absl::StrAppend(&text, "$", ++last);
    }
  }
  return text;
}

Oid TypeOf(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kInteger:
      return kInt8;
    case Value::Kind::kText:
      return kText;
    case Value::Kind::kBlob:
      return kBytea;
    case Value::Kind::kNull:
      return 0;
  }
  return 0;
}

std::string PrimaryOf(const PGresult* result) {
  const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  return text == nullptr ? "" : text;
}

void LogNotice(void* /*argument*/, const PGresult* result) {
  LogWarning("PostgreSQL says", {{"message", PrimaryOf(result)}});
}

int64_t FromNetwork(const char* bytes, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<int64_t>(value);
}

// A statement's parameters as libpq takes them.
struct Parameters {
  explicit Parameters(const Values& given) : kept(given.size()) {
    for (size_t i = 0; i < given.size(); ++i) {
      const Value& value = given[i];
      types.push_back(TypeOf(value));
      formats.push_back(1);
      absl::string_view bytes = value.bytes;
      if (value.kind == Value::Kind::kInteger) {
        const uint64_t integer = htobe64(static_cast<uint64_t>(value.integer));
        bytes = kept[i].assign(reinterpret_cast<const char*>(&integer), sizeof(integer));
      } else if (value.kind == Value::Kind::kText) {
        bytes = kept[i] = StorableText(value.bytes);
      }
      values.push_back(value.kind == Value::Kind::kNull ? nullptr : bytes.data());
      sizes.push_back(static_cast<int>(bytes.size()));
      total += bytes.size();
    }
  }

  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> sizes;
  std::vector<int> formats;
  size_t total = 0;
  // What is not sent as it was given.
  std::vector<std::string> kept;
};

}  // namespace

// All rows of a statement, in binary.
class PostgresConnection::Result final : public Rows {
 public:
  explicit Result(ResultPointer result) : result_(std::move(result)) {}

  absl::StatusOr<bool> Next() override {
    if (row_ + 1 >= PQntuples(result_.get())) return false;
    ++row_;
    return true;
  }
  int64_t Integer(int column) const override {
    if (IsNull(column)) return 0;
    switch (PQftype(result_.get(), column)) {
      case kBool:
      case kInt2:
      case kInt4:
      case kInt8:
        return FromNetwork(PQgetvalue(result_.get(), row_, column),
                           PQgetlength(result_.get(), row_, column));
      default:
        return 0;
    }
  }
  std::string Text(int column) const override {
    if (row_ < 0 || row_ >= PQntuples(result_.get())) return "";
    return std::string(PQgetvalue(result_.get(), row_, column),
                       static_cast<size_t>(PQgetlength(result_.get(), row_, column)));
  }
  bool IsNull(int column) const override {
    return row_ < 0 || row_ >= PQntuples(result_.get()) ||
           PQgetisnull(result_.get(), row_, column) != 0;
  }

 private:
  ResultPointer result_;
  int row_ = -1;
};

void PostgresConnection::ResultDeleter::operator()(pg_result* result) const { PQclear(result); }

absl::Status Check(const PostgresOptions& options) { return Parse(options.conninfo).status(); }

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Connect(
    const PostgresOptions& options) {
  SLIPWAY_ASSIGN_OR_RETURN(Keywords keywords, Parse(options.conninfo));
  keywords = WithDefaults(std::move(keywords), options);
  if (!options.password_file.empty()) {
    SLIPWAY_ASSIGN_OR_RETURN(keywords["password"], ReadPassword(options.password_file));
  }
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<PostgresConnection> connection(
      new PostgresConnection(PQconnectdbParams(names.data(), values.data(), 0), options));
  if (PQstatus(connection->handle_) != CONNECTION_OK) return connection->Problem("connect");
  SLIPWAY_RETURN_IF_ERROR(connection->SetUp());
  return connection;
}

absl::Status PostgresConnection::SetUp() {
  if (PQserverVersion(handle_) < kOldestServer) {
    return Error(absl::StatusCode::kFailedPrecondition, "POSTGRES_TOO_OLD",
                 absl::StrCat(Place(), " is of version ", PQserverVersion(handle_) / 10'000),
                 "use PostgreSQL 13 or later");
  }
  const char* encoding = PQparameterStatus(handle_, "server_encoding");
  if (encoding == nullptr || absl::string_view(encoding) != "UTF8") {
    return Error(absl::StatusCode::kFailedPrecondition, "POSTGRES_ENCODING",
                 absl::StrCat(Place(), " has the encoding ", encoding == nullptr ? "" : encoding),
                 "make it with UTF8: createdb --template template0 --encoding UTF8 ...");
  }
  PQsetNoticeReceiver(handle_, LogNotice, nullptr);
  if (PQsetnonblocking(handle_, 1) != 0) return GiveUp("set up");
  // A transaction that we have gone away from must not hold its locks for long. The next line strengthens what the server or the role
  // has as default, and weakens nothing.
  SLIPWAY_RETURN_IF_ERROR(Execute(absl::StrCat(
      "SET client_min_messages = warning; SET statement_timeout = ", usual_patience_.count(),
      "; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 10000; SET jit = off;"
      "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
      "SELECT set_config('synchronous_commit', 'on', false) "
      "WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')")));
  return absl::OkStatus();
}

PostgresConnection::~PostgresConnection() { PQfinish(handle_); }

bool PostgresConnection::IsBroken() const {
  return given_up_ || PQstatus(handle_) != CONNECTION_OK;
}

absl::Status PostgresConnection::AllowForTransaction(milliseconds time) {
  patience_ = time;
  return Execute(absl::StrCat("SET LOCAL statement_timeout = ", time.count(),
                              "; SET LOCAL idle_in_transaction_session_timeout = ", time.count()));
}

absl::Status PostgresConnection::Rollback() {
  patience_ = usual_patience_;
  return Execute("ROLLBACK");
}

absl::Status PostgresConnection::Execute(const std::string& sql) {
  const absl::Status before = Settle().status();
  if (IsBroken()) return before;
  if (PQpipelineStatus(handle_) != PQ_PIPELINE_OFF && PQexitPipelineMode(handle_) == 0) {
    return GiveUp("leave the pipeline");
  }
  if (PQsendQuery(handle_, sql.c_str()) == 0) return GiveUp("send");
  const Deadline deadline =
      std::chrono::steady_clock::now() + patience_ + std::min(patience_, kAnswer);
  absl::Status status = before;
  while (true) {
    SLIPWAY_RETURN_IF_ERROR(AwaitResult(deadline));
    const ResultPointer result(PQgetResult(handle_));
    if (result == nullptr) return status;
    status.Update(ErrorOf(result.get()));
  }
}

absl::StatusOr<std::unique_ptr<Rows>> PostgresConnection::Query(absl::string_view sql,
                                                                const Values& values) {
  SLIPWAY_RETURN_IF_ERROR(Send(sql, values));
  SLIPWAY_ASSIGN_OR_RETURN(ResultPointer result, Settle());
  return std::make_unique<Result>(std::move(result));
}

absl::Status PostgresConnection::Post(absl::string_view sql, const Values& values) {
  SLIPWAY_RETURN_IF_ERROR(Send(sql, values));
  if (sent_.size() < kMostSent && sent_bytes_ < kMostBytesSent) return absl::OkStatus();
  return Settle().status();
}

absl::Status PostgresConnection::Commit() {
  // A commit that waits for a standby must not be cut short: it would count as done here, and not be there.
  SLIPWAY_RETURN_IF_ERROR(Send("SET LOCAL statement_timeout = 0", {}));
  SLIPWAY_RETURN_IF_ERROR(Send("COMMIT", {}));
  SLIPWAY_ASSIGN_OR_RETURN(const ResultPointer result, Settle());
  patience_ = usual_patience_;
  // The answer to COMMIT after an error that nobody has looked at.
  if (absl::string_view(PQcmdStatus(result.get())) == "COMMIT") return absl::OkStatus();
  return Problem("commit: an earlier statement had failed");
}

absl::Status PostgresConnection::Send(absl::string_view sql, const Values& values) {
  if (IsBroken()) return Problem("send");
  if (PQpipelineStatus(handle_) == PQ_PIPELINE_OFF && PQenterPipelineMode(handle_) == 0) {
    return GiveUp("enter the pipeline");
  }
  const Parameters parameters(values);
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    found = statements_.emplace(std::string(sql), Prepared{}).first;
    found->second.name = absl::StrCat("s", statements_.size());
  }
  Prepared& prepared = found->second;
  const int count = static_cast<int>(values.size());
  if (!prepared.known && std::find(sent_.begin(), sent_.end(), &prepared) == sent_.end()) {
    if (PQsendPrepare(handle_, prepared.name.c_str(), WithNumbers(sql).c_str(), count,
                      parameters.types.data()) == 0) {
      return GiveUp("prepare");
    }
    sent_.push_back(&prepared);
  }
  if (PQsendQueryPrepared(handle_, prepared.name.c_str(), count, parameters.values.data(),
                          parameters.sizes.data(), parameters.formats.data(), 1) == 0) {
    return GiveUp("send");
  }
  sent_.push_back(nullptr);
  sent_bytes_ += parameters.total + 32;
  return absl::OkStatus();
}

absl::StatusOr<PostgresConnection::ResultPointer> PostgresConnection::Settle() {
  if (IsBroken()) return Problem("send");
  if (sent_.empty()) return ResultPointer();
  auto result = SettleSent();
  sent_.clear();
  sent_bytes_ = 0;
  return result;
}

absl::StatusOr<PostgresConnection::ResultPointer> PostgresConnection::SettleSent() {
  if (PQpipelineSync(handle_) == 0) return GiveUp("send");
  const Deadline deadline =
      std::chrono::steady_clock::now() + patience_ + std::min(patience_, kAnswer);
  absl::Status status;
  ResultPointer last;
  bool between = false;
  for (auto answered = sent_.begin(); true;) {
    const absl::Status came = AwaitResult(deadline);
    // What the server said before it went away tells more.
    if (!came.ok()) return status.ok() ? came : status;
    ResultPointer result(PQgetResult(handle_));
    if (result == nullptr) {
      // Between the answers to two statements; never twice.
      if (std::exchange(between, true)) return GiveUp("out of step");
      continue;
    }
    between = false;
    const ExecStatusType kind = PQresultStatus(result.get());
    if (kind == PGRES_PIPELINE_SYNC) break;
    // Those after one that failed are not carried out.
    if (kind != PGRES_PIPELINE_ABORTED) status.Update(ErrorOf(result.get()));
    if (IsBroken()) return status.ok() ? Problem("answer") : status;
    if (answered == sent_.end()) continue;
    if (*answered != nullptr) (*answered)->known = kind == PGRES_COMMAND_OK;
    ++answered;
    last = std::move(result);
  }
  if (!status.ok()) return status;
  return last;
}

absl::Status PostgresConnection::AwaitResult(Deadline deadline) {
  while (true) {
    const int unsent = PQflush(handle_);
    if (unsent < 0) return GiveUp("send");
    if (PQisBusy(handle_) == 0) return absl::OkStatus();
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return GiveUp("no answer in time");
    pollfd wait{PQsocket(handle_), static_cast<short>(POLLIN | (unsent != 0 ? POLLOUT : 0)), 0};
    poll(&wait, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, 60'000)));
    if ((wait.revents & ~POLLOUT) != 0 && PQconsumeInput(handle_) == 0) return GiveUp("receive");
  }
}

absl::StatusOr<std::vector<PostgresNotice>> PostgresConnection::AwaitNotices(int wake) {
  std::vector<PostgresNotice> notices;
  while (true) {
    if (PQconsumeInput(handle_) == 0) return GiveUp("receive");
    while (PGnotify* notice = PQnotifies(handle_)) {
      notices.push_back({notice->relname, notice->extra});
      PQfreemem(notice);
    }
    if (!notices.empty()) return notices;
    pollfd wait[] = {{PQsocket(handle_), POLLIN, 0}, {wake, POLLIN, 0}};
    poll(wait, 2, -1);
    if (wait[1].revents != 0) return notices;
  }
}

absl::Status PostgresConnection::GiveUp(absl::string_view what) {
  given_up_ = true;
  return Problem(what);
}

absl::Status PostgresConnection::ErrorOf(const pg_result* result) const {
  const ExecStatusType kind = PQresultStatus(result);
  if (kind != PGRES_FATAL_ERROR && kind != PGRES_BAD_RESPONSE) return absl::OkStatus();
  const char* code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (code == nullptr) return Problem("statement");
  return Problem(absl::StrCat("statement: ", PrimaryOf(result), " (", code, ")"));
}

absl::Status PostgresConnection::Problem(absl::string_view what) const {
  std::string text = absl::StrCat(Place(), ": ", what);
  if (PQstatus(handle_) != CONNECTION_OK) {
    const std::string said = PQerrorMessage(handle_);
    const auto line =
        absl::StripAsciiWhitespace(absl::string_view(said).substr(0, said.find('\n')));
    if (!line.empty() && !absl::StrContains(text, line)) absl::StrAppend(&text, ": ", line);
  }
  return Error(absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE", text,
               "is PostgreSQL up, and may this user connect and write? Its log says more");
}

std::string PostgresConnection::Place() const {
  const char* host = PQhost(handle_);
  const char* port = PQport(handle_);
  const char* name = PQdb(handle_);
  return absl::StrCat("the database ", name == nullptr ? "" : name, " at ",
                      host == nullptr ? "" : host, ":", port == nullptr ? "" : port);
}

}  // namespace slipway::controller
