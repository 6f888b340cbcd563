#include "connection.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace load {
namespace {

std::array<char, 64 * 1024> input; // one thread, so one for all connections

[[noreturn]] void give_up(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

} // namespace

void connection::open(moment due, moment now) {
    due_ = due;
    deadline_ = now + patience;
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) give_up("socket");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    state_ = state::connecting;
    resumed_ = false;
    // Where connect fails at once, the socket tells epoll just as it does later.
    static_cast<void>(::connect(fd_, reinterpret_cast<const sockaddr*>(&to_.address), sizeof to_.address));
    waits_to_write_ = true;
    watch(EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

void connection::close() {
    if (fd_ < 0) return;
    if (ssl_) {
        if (!SSL_in_init(ssl_.get())) SSL_shutdown(ssl_.get());
        ERR_clear_error();
        ssl_.reset();
    }
    ::close(fd_); // and epoll forgets it
    fd_ = -1;
    state_ = state::closed;
    deadline_ = never;
}

void connection::ask(moment due, moment now) {
    due_ = due;
    deadline_ = now + patience;
    state_ = state::asking;
    reply_ = {};
    sent_ = 0;
    send();
}

void connection::serve(std::uint32_t events) {
    switch (state_) {
    case state::closed: return;
    case state::connecting: {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error || (events & (EPOLLERR | EPOLLHUP))) return fail(fault::connect);
        return established();
    }
    case state::handshaking: return handshake();
    case state::idle: return receive(); // it has ended, or speaks without being asked
    case state::asking:
        if ((events & EPOLLOUT) && sent_ < to_.request.size()) {
            send();
            if (state_ != state::asking) return;
        }
        if (events & ~std::uint32_t(EPOLLOUT)) receive();
    }
}

void connection::established() {
    watch(EPOLL_CTL_MOD, EPOLLIN);
    if (!to_.tls) {
        state_ = state::idle;
        deadline_ = never;
        return owner_.ready(*this);
    }
    ssl_.reset(SSL_new(to_.tls.get()));
    if (!ssl_ || !SSL_set_fd(ssl_.get(), fd_)) throw std::runtime_error("OpenSSL: no connection");
    SSL_set_tlsext_host_name(ssl_.get(), "localhost");
    if (session_) SSL_set_session(ssl_.get(), session_.get());
    SSL_set_connect_state(ssl_.get());
    state_ = state::handshaking;
    handshake();
}

void connection::handshake() {
    const int done = SSL_do_handshake(ssl_.get());
    if (done != 1) {
        switch (SSL_get_error(ssl_.get(), done)) {
        case SSL_ERROR_WANT_READ: return watch(EPOLL_CTL_MOD, EPOLLIN);
        case SSL_ERROR_WANT_WRITE: return watch(EPOLL_CTL_MOD, EPOLLOUT);
        default: return fail(fault::connect);
        }
    }
    watch(EPOLL_CTL_MOD, EPOLLIN);
    resumed_ = SSL_session_reused(ssl_.get());
    if (to_.resumes) session_.reset(SSL_get1_session(ssl_.get())); // TLS 1.2: the ticket came with the handshake
    state_ = state::idle;
    deadline_ = never;
    owner_.ready(*this);
}

// Sends what the socket takes; epoll says when it takes more.
void connection::send() {
    while (sent_ < to_.request.size()) {
        const auto rest = std::string_view(to_.request).substr(sent_);
        bool full = false;
        ssize_t n;
        if (ssl_) {
            n = SSL_write(ssl_.get(), rest.data(), int(std::min<std::size_t>(rest.size(), 1 << 30)));
            full = n <= 0 && SSL_get_error(ssl_.get(), int(n)) == SSL_ERROR_WANT_WRITE;
        } else {
            n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
            full = n < 0 && errno == EAGAIN;
        }
        if (full) return watch(EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        if (n <= 0) return fail(fault::write);
        sent_ += std::size_t(n);
    }
    watch(EPOLL_CTL_MOD, EPOLLIN);
}

// Reads once, and what TLS has already taken from the socket: epoll does not tell of that. Of the rest it tells again.
void connection::receive() {
    read_at_ = clock::now();
    do {
        std::string_view bytes;
        if (!read_some(bytes)) return;
        if (state_ != state::asking) return fail(fault::gone);
        take(bytes);
    } while (state_ == state::asking && ssl_ && SSL_has_pending(ssl_.get()));
}

// False: nothing came, for now or any more.
bool connection::read_some(std::string_view& bytes) {
    ssize_t n;
    if (ssl_) {
        n = SSL_read(ssl_.get(), input.data(), int(input.size()));
        if (n <= 0) {
            const int error = SSL_get_error(ssl_.get(), int(n));
            if (error == SSL_ERROR_WANT_READ) return false;
            n = error == SSL_ERROR_ZERO_RETURN ? 0 : -1; // without close_notify a reply may have been cut
        }
    } else {
        n = ::recv(fd_, input.data(), input.size(), 0);
        if (n < 0 && errno == EAGAIN) return false;
    }
    if (n <= 0) {
        if (n == 0) {
            ended();
        } else {
            fail(state_ == state::idle ? fault::gone : fault::read);
        }
        return false;
    }
    bytes = {input.data(), std::size_t(n)};
    return true;
}

void connection::take(std::string_view bytes) {
    while (!bytes.empty() && !reply_.whole() && !reply_.broken()) {
        const auto piece = reply_.take(bytes);
        if (!piece.empty()) owner_.received(*this, piece);
    }
    if (reply_.whole() || reply_.broken()) finish(reply_.whole() && bytes.empty());
}

void connection::ended() {
    if (state_ != state::asking) return fail(fault::gone);
    reply_.end();
    if (!reply_.whole()) return fail(fault::read);
    finish(true);
}

// A request that has not left whole, or a reply that cannot be read, leaves nothing to go on with.
void connection::finish(bool right) {
    const bool can_go_on = right && !reply_.closes() && sent_ == to_.request.size();
    right = right && reply_.status() == 200 && sent_ == to_.request.size() &&
            (to_.reply_bytes ? reply_.body_bytes() == *to_.reply_bytes : reply_.is_event_stream());
    deadline_ = never;
    state_ = state::idle;
    if (!can_go_on) close();
    owner_.answered(*this, right);
}

void connection::fail(fault why) {
    if (state_ == state::connecting || state_ == state::handshaking) why = fault::connect;
    ERR_clear_error();
    if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN); // nothing more is to be said on it
    close();
    owner_.failed(*this, why);
}

// Level-triggered; only told to epoll when it changes.
void connection::watch(int operation, std::uint32_t events) {
    const bool to_write = events & EPOLLOUT;
    if (operation == EPOLL_CTL_MOD && to_write == waits_to_write_) return;
    waits_to_write_ = to_write;
    epoll_event event{};
    event.events = events;
    event.data.ptr = this;
    if (::epoll_ctl(epoll_, operation, fd_, &event)) give_up("epoll_ctl");
}

} // namespace load
