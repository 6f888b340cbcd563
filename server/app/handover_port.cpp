#include "app/handover_port.hpp"

#include "telemetry/log.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

constexpr int waiting_successors = 8;
constexpr std::chrono::milliseconds pause_when_exhausted{100};
constexpr std::chrono::seconds between_looks{1};

} // namespace

handover_port::handover_port(base::executor where, std::string path, std::function<offer()> made,
                             std::function<void(pid_t, std::vector<std::size_t>)> done, std::function<void()> undone)
    : where_(where),
      path_(std::move(path)),
      made_(std::move(made)),
      done_(std::move(done)),
      undone_(std::move(undone)),
      listening_(where),
      next_look_(where) {}

handover_port::~handover_port() { close(); }

std::optional<std::string> handover_port::prepare() {
    if (auto wrong = wrong_with_socket_path(path_)) return wrong;
    const auto beside = path_ + "." + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, beside.c_str(), beside.size());
    prepared_ = unix_socket();
    const int socket = prepared_.number();
    ::unlink(beside.c_str()); // of a process that had our number and was killed
    // The mode is set before there is a name (unix(7)): nobody else can connect in between.
    if (!prepared_ || ::fchmod(socket, S_IRUSR | S_IWUSR) != 0 ||
        ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return "cannot listen at " + path_ + " for a successor: " + std::strerror(errno);
    temporary_ = beside;
    if (::listen(socket, waiting_successors) != 0 || ::lstat(beside.c_str(), &file_) != 0)
        return "cannot listen at " + path_ + " for a successor: " + std::strerror(errno);
    return std::nullopt;
}

bool handover_port::publish() {
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return false;
    temporary_.clear();
    base::error_code ec;
    listening_.close(ec); // the former, after reclaim()
    listening_.assign(prepared_.release(), ec);
    if (!std::exchange(published_, true)) {
        base::spawn(where_, gate_, accept());
        base::spawn(where_, gate_, keep_name());
    }
    return !ec;
}

void handover_port::close() {
    if (std::exchange(closed_, true)) return;
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    if (published_ && path_is_ours()) ::unlink(path_.c_str());
    next_look_.cancel();
    base::error_code ec;
    listening_.close(ec);
}

// A predecessor that is told to end just when the path becomes ours may remove it as its own: between its look and its
// unlink() the name may change. And whoever cleans that folder may.
base::task<> handover_port::keep_name() {
    while (!closed_) {
        next_look_.expires_after(between_looks);
        co_await next_look_.async_wait(base::awaited);
        struct stat there {};
        if (closed_ || successor_ || ::lstat(path_.c_str(), &there) == 0 || errno != ENOENT) continue;
        telemetry::log().warn("{} has been removed: it is made again", path_);
        if (!reclaim()) co_return;
    }
}

bool handover_port::path_is_ours() const {
    struct stat there {};
    return ::lstat(path_.c_str(), &there) == 0 && there.st_dev == file_.st_dev && there.st_ino == file_.st_ino;
}

// A successor takes the path just before it says that it serves. If it dies in between, the path leads nowhere.
bool handover_port::reclaim() {
    if (closed_ || path_is_ours()) return true;
    const auto wrong = prepare();
    if (!wrong && publish()) return true;
    telemetry::log().error("no successor can take over any more: {}", wrong ? *wrong : std::strerror(errno));
    return false;
}

base::task<> handover_port::accept() {
    base::tick_timer pause(where_);
    while (!closed_) {
        co_await listening_.async_wait(waitable::wait_read, base::awaited); // cancelled when it is closed or replaced
        if (closed_) co_return;
        descriptor one(::accept4(listening_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!one) { // out of descriptors: asking again at once would spin
            if (errno != EAGAIN) {
                pause.expires_after(pause_when_exhausted);
                co_await pause.async_wait(base::awaited);
            }
            continue;
        }
        const auto who = peer_of(one.number());
        if (!who.trusted) {
            if (const auto hidden = strangers_.allow(std::chrono::steady_clock::now()))
                telemetry::log().warn("process {} of another user wanted to take over ({} more like it)", who.process,
                                      *hidden);
        } else if (successor_) {
            send_message(one.number(), to_busy(*successor_), {});
        } else {
            successor_ = who.process;
            base::spawn(where_, gate_, hand_over(std::move(one), who.process));
        }
    }
}

base::task<> handover_port::hand_over(descriptor to, pid_t successor) {
    const auto offered = made_();
    std::optional<std::vector<std::size_t>> taken;
    if (send_message(to.number(), to_offer(offered.sockets), offered.descriptors)) {
        telemetry::log().info("process {} asks for the listening sockets, to take over", successor);
        waitable connection(where_, to.release());
        co_await connection.async_wait(waitable::wait_read, base::awaited);
        if (const auto said = receive_message(connection.native_handle()))
            taken = parse_confirmation(said->text, offered.sockets.size());
    }
    successor_.reset();
    if (closed_) co_return;
    if (!taken) {
        telemetry::log().warn("process {} has ended before it served: this one goes on", successor);
        reclaim();
        undone_();
        co_return;
    }
    close();
    done_(successor, std::move(*taken));
}

} // namespace scoregate::app
