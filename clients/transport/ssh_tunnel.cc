#include "clients/transport/ssh_tunnel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <list>
#include <map>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include "common/status.h"

namespace slipway {
namespace {

using std::chrono::steady_clock;

// A channel that is not granted by then: the session is dead, whatever TCP says.
constexpr std::chrono::seconds kOpenTimeout{5};
constexpr int kPollMilliseconds = 1000;
constexpr size_t kPiece = 64 << 10;

absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Error(absl::StatusCode::kInvalidArgument, "SOCKET_PATH_TOO_LONG",
                 absl::StrCat("the path of a relay is too long: ", path),
                 "set TMPDIR to a shorter folder");
  }
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(fd.get(), 64) != 0) {
    return ErrnoError(absl::StrCat("listen on ", path));
  }
  return fd;
}

}  // namespace

// All of it but the marked members belongs to the thread that runs Run().
class SshTunnel::Loop {
 public:
  Loop(SshTarget target, SshOptions options, UniqueFd wake)
      : target_(std::move(target)), options_(std::move(options)), wake_(std::move(wake)) {}

  void Run();
  void Stop();
  absl::Status AddRelay(const std::string& remote_path, const std::string& local_path);
  absl::Status Prepare();
  absl::Status Problem() {
    MutexLock lock(mutex_);
    return outcome_;
  }

 private:
  struct Relay {
    UniqueFd listener;
    std::string remote_path;
  };
  // One accepted connection and its channel.
  struct Stream {
    UniqueFd fd;
    ssh_channel channel = nullptr;
    ssh_channel_callbacks_struct callbacks{};
    std::string remote_path;
    steady_clock::time_point open_by;
    bool open = false;
    bool done = false;
    // The other side sends no more.
    bool remote_ended = false;
    // Our side has taken less than was sent.
    bool local_full = false;
    // Of a piece that has left libssh already.
    std::string rest;

    void Close();
  };

  void Wake();
  std::vector<pollfd> Interests();
  void Accept(const Relay& relay);
  void Connect();
  void Drop(const absl::Status& why);
  void Serve(Stream& stream, short events);
  void OpenChannel(Stream& stream);
  void FromLocal(Stream& stream);
  static void Send(Stream& stream, absl::string_view bytes);
  void ToLocal(Stream& stream);
  static int OnData(ssh_session session, ssh_channel channel, void* data, uint32_t size,
                    int is_error, void* stream);
  static void OnEnd(ssh_session session, ssh_channel channel, void* stream);

  const SshTarget target_;
  const SshOptions options_;
  const UniqueFd wake_;

  Mutex mutex_;
  CondVar changed_;
  bool stop_ SLIPWAY_GUARDED_BY(mutex_) = false;
  std::list<Relay> relays_ SLIPWAY_GUARDED_BY(mutex_);
  bool wanted_ SLIPWAY_GUARDED_BY(mutex_) = false;
  bool up_ SLIPWAY_GUARDED_BY(mutex_) = false;
  uint64_t attempts_ SLIPWAY_GUARDED_BY(mutex_) = 0;
  absl::Status outcome_ SLIPWAY_GUARDED_BY(mutex_);

  std::unique_ptr<SshSession> session_;
  ssh_event event_ = nullptr;
  std::list<Stream> streams_;
  std::vector<char> piece_ = std::vector<char>(kPiece);
};

void SshTunnel::Loop::Stream::Close() {
  if (channel != nullptr) {
    // A channel that was refused is not closed: the other side has never heard of it, and would end the session.
    if (open) {
      ssh_remove_channel_callbacks(channel, &callbacks);
      ssh_channel_close(channel);
    }
    ssh_channel_free(channel);
    channel = nullptr;
  }
  fd.Reset();
  done = true;
}

void SshTunnel::Loop::Wake() {
  const uint64_t one = 1;
  static_cast<void>(!write(wake_.get(), &one, sizeof one));
}

void SshTunnel::Loop::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  Wake();
}

absl::Status SshTunnel::Loop::AddRelay(const std::string& remote_path,
                                       const std::string& local_path) {
  SLIPWAY_ASSIGN_OR_RETURN(UniqueFd listener, Listen(local_path));
  {
    MutexLock lock(mutex_);
    relays_.push_back({std::move(listener), remote_path});
  }
  Wake();
  return absl::OkStatus();
}

absl::Status SshTunnel::Loop::Prepare() {
  MutexLock lock(mutex_);
  if (up_) return absl::OkStatus();
  const uint64_t before = attempts_;
  wanted_ = true;
  Wake();
  while (attempts_ == before && !stop_) changed_.Wait(mutex_);
  return stop_ ? absl::CancelledError("the tunnel is closed") : outcome_;
}

void SshTunnel::Loop::Connect() {
  auto session = SshSession::Connect(target_.user, target_.host, target_.port, options_);
  if (session.ok()) {
    session_ = *std::move(session);
    ssh_set_blocking(session_->raw(), 0);
    event_ = ssh_event_new();
    ssh_event_add_session(event_, session_->raw());
  }
  MutexLock lock(mutex_);
  ++attempts_;
  wanted_ = false;
  up_ = session_ != nullptr;
  outcome_ = session.status();
  changed_.NotifyAll();
}

// The end of the session and of everything in it; whoever needs it next brings it up again.
void SshTunnel::Loop::Drop(const absl::Status& why) {
  for (Stream& stream : streams_) stream.Close();
  streams_.clear();
  if (event_ != nullptr) {
    ssh_event_remove_session(event_, session_->raw());
    ssh_event_free(std::exchange(event_, nullptr));
  }
  session_.reset();
  MutexLock lock(mutex_);
  up_ = false;
  outcome_ = why;
}

void SshTunnel::Loop::Accept(const Relay& relay) {
  while (true) {
    UniqueFd fd(accept4(relay.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (session_ == nullptr) Connect();
    // Without a session the connection ends, and gRPC tries again in its own time.
    if (session_ == nullptr) continue;
    Stream& stream = streams_.emplace_back();
    stream.fd = std::move(fd);
    stream.remote_path = relay.remote_path;
    stream.open_by = steady_clock::now() + kOpenTimeout;
    stream.channel = ssh_channel_new(session_->raw());
    OpenChannel(stream);
  }
}

void SshTunnel::Loop::OpenChannel(Stream& stream) {
  // Not blocking: asked again until it is granted or refused. The two last arguments are for the other side's records.
  const int opened =
      ssh_channel_open_forward_unix(stream.channel, stream.remote_path.c_str(), "slipway", 0);
  if (opened == SSH_AGAIN) return;
  if (opened != SSH_OK) {
    MutexLock lock(mutex_);
    outcome_ = Error(absl::StatusCode::kUnavailable, "SSH_NO_SOCKET",
                     absl::StrCat("ssh://", target_.host, ":", target_.port, " does not lead to ",
                                  stream.remote_path, ": ", ssh_get_error(session_->raw())),
                     "is the daemon running there, and may this user open its socket?");
    stream.done = true;
    return;
  }
  stream.open = true;
  {
    MutexLock lock(mutex_);
    outcome_ = absl::OkStatus();
  }
  stream.callbacks.userdata = &stream;
  stream.callbacks.channel_data_function = &OnData;
  stream.callbacks.channel_eof_function = &OnEnd;
  stream.callbacks.channel_close_function = &OnEnd;
  ssh_callbacks_init(&stream.callbacks);
  ssh_set_channel_callbacks(stream.channel, &stream.callbacks);
  // What came with the answer already.
  ToLocal(stream);
}

// Answers how much was taken.
int SshTunnel::Loop::OnData(ssh_session, ssh_channel, void* data, uint32_t size, int is_error,
                            void* userdata) {
  Stream& stream = *static_cast<Stream*>(userdata);
  if (is_error != 0 || stream.done) return static_cast<int>(size);
  // Not before what came earlier; it waits in libssh, which grants the other side no more room meanwhile.
  if (stream.local_full) return 0;
  const ssize_t sent = send(stream.fd.get(), data, size, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) {
    stream.done = true;
    return static_cast<int>(size);
  }
  const auto taken = static_cast<uint32_t>(std::max<ssize_t>(sent, 0));
  stream.local_full = taken < size;
  return static_cast<int>(taken);
}

void SshTunnel::Loop::OnEnd(ssh_session, ssh_channel, void* userdata) {
  static_cast<Stream*>(userdata)->remote_ended = true;
}

// Sends what it can of the bytes and keeps the rest; the stream is full then.
void SshTunnel::Loop::Send(Stream& stream, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(stream.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      stream.done = errno != EAGAIN;
      break;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  stream.rest = std::string(bytes);
  stream.local_full = !stream.rest.empty();
}

// What waits for a local side that was full: here, and in libssh.
void SshTunnel::Loop::ToLocal(Stream& stream) {
  Send(stream, std::exchange(stream.rest, ""));
  while (!stream.done && !stream.local_full) {
    const int got = ssh_channel_read_nonblocking(stream.channel, piece_.data(),
                                                 static_cast<uint32_t>(piece_.size()), 0);
    if (got <= 0) {
      stream.done = stream.remote_ended;
      return;
    }
    Send(stream, absl::string_view(piece_.data(), static_cast<size_t>(got)));
  }
}

void SshTunnel::Loop::FromLocal(Stream& stream) {
  // At most what the other side has room for; more would pile up in libssh.
  while (!stream.done) {
    const uint32_t window = ssh_channel_window_size(stream.channel);
    if (window == 0) return;
    const ssize_t got =
        recv(stream.fd.get(), piece_.data(), std::min<size_t>(window, piece_.size()), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      stream.done = true;
      return;
    }
    if (ssh_channel_write(stream.channel, piece_.data(), static_cast<uint32_t>(got)) !=
        static_cast<int>(got)) {
      stream.done = true;
    }
    if (static_cast<size_t>(got) < piece_.size()) return;
  }
}

void SshTunnel::Loop::Serve(Stream& stream, short events) {
  if (!stream.open) {
    OpenChannel(stream);
    stream.done = stream.done || (events & (POLLERR | POLLHUP)) != 0;
    return;
  }
  if ((events & POLLIN) != 0) FromLocal(stream);
  if ((events & (POLLERR | POLLHUP)) != 0 && (events & POLLIN) == 0) stream.done = true;
  if ((events & POLLOUT) != 0 || (stream.remote_ended && !stream.local_full)) ToLocal(stream);
}

// The wake-up, the relays, the session's socket, the streams; in this order.
std::vector<pollfd> SshTunnel::Loop::Interests() {
  std::vector<pollfd> all = {{wake_.get(), POLLIN, 0}};
  {
    MutexLock lock(mutex_);
    for (const Relay& relay : relays_) all.push_back({relay.listener.get(), POLLIN, 0});
  }
  for (const Stream& stream : streams_) {
    short events = 0;
    if (stream.open && ssh_channel_window_size(stream.channel) > 0) events |= POLLIN;
    if (stream.local_full) events |= POLLOUT;
    all.push_back({stream.fd.get(), events, 0});
  }
  return all;
}

void SshTunnel::Loop::Run() {
  while (true) {
    std::vector<const Relay*> relays;
    bool connect = false;
    {
      MutexLock lock(mutex_);
      if (stop_) break;
      connect = wanted_ && session_ == nullptr;
      for (const Relay& relay : relays_) relays.push_back(&relay);
    }
    if (connect) Connect();
    std::vector<pollfd> polled = Interests();
    const size_t first_stream = polled.size() - streams_.size();
    if (session_ != nullptr) {
      const int fd = ssh_get_fd(session_->raw());
      const int flags = ssh_get_poll_flags(session_->raw());
      const bool writes = (flags & SSH_WRITE_PENDING) != 0;
      polled.push_back({fd, static_cast<short>(POLLIN | (writes ? POLLOUT : 0)), 0});
    }
    if (poll(polled.data(), polled.size(), session_ == nullptr ? -1 : kPollMilliseconds) < 0) {
      continue;
    }
    if (polled[0].revents != 0) {
      uint64_t count = 0;
      static_cast<void>(!read(wake_.get(), &count, sizeof count));
    }
    if (session_ != nullptr) {
      // Reads and answers what came, and writes what waits, without blocking.
      if (ssh_event_dopoll(event_, 0) == SSH_ERROR || ssh_is_connected(session_->raw()) == 0) {
        Drop(Error(absl::StatusCode::kUnavailable, "SSH_UNREACHABLE",
                   absl::StrCat("the SSH connection to ", target_.host, " ended")));
        continue;
      }
      size_t at = first_stream;
      const auto now = steady_clock::now();
      bool dead = false;
      for (Stream& stream : streams_) {
        Serve(stream, polled[at++].revents);
        dead = dead || (!stream.open && !stream.done && now > stream.open_by);
      }
      streams_.remove_if([](Stream& stream) {
        if (stream.done) stream.Close();
        return stream.done;
      });
      if (dead) {
        Drop(Error(absl::StatusCode::kUnavailable, "SSH_UNREACHABLE",
                   absl::StrCat("the SSH server of ", target_.host, " does not answer any more")));
        continue;
      }
    }
    for (size_t i = 0; i < relays.size(); ++i) {
      if (i + 1 < polled.size() && polled[i + 1].revents != 0) Accept(*relays[i]);
    }
  }
  Drop(absl::CancelledError("the tunnel is closed"));
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

SshTunnel::SshTunnel(std::string folder, std::unique_ptr<Loop> loop)
    : folder_(std::move(folder)), loop_(std::move(loop)), thread_([this] { loop_->Run(); }) {}

absl::StatusOr<std::unique_ptr<SshTunnel>> SshTunnel::Start(SshTarget target, SshOptions options,
                                                            const std::string& folder) {
  std::string made = absl::StrCat(folder, "/slipway-XXXXXX");
  if (mkdtemp(made.data()) == nullptr) return ErrnoError(absl::StrCat("make a folder in ", folder));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError("eventfd");
  return std::unique_ptr<SshTunnel>(new SshTunnel(
      std::move(made),
      std::make_unique<Loop>(std::move(target), std::move(options), std::move(wake))));
}

SshTunnel::~SshTunnel() {
  loop_->Stop();
  thread_.join();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<std::string> SshTunnel::Relay(const std::string& remote_path) {
  MutexLock lock(mutex_);
  std::string& path = relays_[remote_path];
  if (path.empty()) {
    std::string made = absl::StrCat(folder_, "/", relays_.size());
    SLIPWAY_RETURN_IF_ERROR(loop_->AddRelay(remote_path, made));
    path = std::move(made);
  }
  return path;
}

absl::Status SshTunnel::Prepare() { return loop_->Prepare(); }

absl::Status SshTunnel::Problem() const { return loop_->Problem(); }

}  // namespace slipway
