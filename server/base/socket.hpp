// A stream socket of the data plane, TCP or Unix: Asio's interface, as far as anybody here uses it, on a poller. What
// it is known to be saves the system calls that could only say "not now". Owned by one connection; one thread; at most
// one read or wait to read and one write or wait to write at a time.
#pragma once

#include "base/descriptor.hpp"
#include "base/executor.hpp"
#include "base/frame_memory.hpp"
#include "base/poller.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <sys/socket.h>
#include <sys/types.h>
#include <type_traits>
#include <utility>

namespace scoregate::base {

class socket : public asio::socket_base {
public:
    using executor_type = executor;

    explicit socket(executor where) : poller_(&poller::of(where)) {}
    // Takes over what Asio opened; `from` is closed then. Throws system_error.
    explicit socket(tcp_socket from);
    socket(socket&& other) noexcept : poller_(other.poller_), watched_(std::exchange(other.watched_, nullptr)) {}
    socket& operator=(socket&& other) noexcept {
        std::swap(poller_, other.poller_);
        std::swap(watched_, other.watched_);
        return *this;
    }
    ~socket() { close(); }

    executor_type get_executor() const { return poller_->where(); }
    bool is_open() const { return watched_ != nullptr; }
    int native_handle() const { return watched_ != nullptr ? watched_->descriptor : -1; }

    // A connection or a listener; closed if there is an error.
    void assign(descriptor owned, error_code& ec) { adopt(std::move(owned), false, ec); }
    // One whose connect() is under way: a wait to write ends when that has.
    void assign_connecting(descriptor owned, error_code& ec) { adopt(std::move(owned), true, ec); }
    // The descriptor, if there is one, which stays open.
    descriptor release();
    void close();
    // What waits is told operation_aborted.
    void cancel() {
        if (watched_ != nullptr) poller_->cancel(*watched_);
    }
    void shutdown(shutdown_type what, error_code& ec);
    // What a connect() that was under way has come to, or the connection since (SO_ERROR); asked, it is forgotten.
    error_code failure();
    template <class Option>
    void set_option(const Option& option, error_code& ec) {
        const auto any = tcp::v4();
        ec = {};
        if (::setsockopt(native_handle(), option.level(any), option.name(any), option.data(any),
                         static_cast<socklen_t>(option.size(any))) != 0)
            ec.assign(errno, boost::system::system_category());
    }

    // At once: as recv(2) and send(2), with errno. Only these keep what is known of it true.
    ssize_t read_now(void* into, std::size_t size);
    ssize_t peek_now(void* into, std::size_t size);
    ssize_t write_now(const void* from, std::size_t size, int flags = 0);
    // A listener has no more for now.
    void took_all() {
        if (watched_ != nullptr) watched_->readable = watched_->ended = false;
    }
    // Whether something may be there to be read: bytes, the end, an error. What has come since the loop looked last is
    // not known.
    bool readable() const { return watched_ != nullptr && watched_->readable; }
    // False once a write came short, until there is room again.
    bool writable() const { return watched_ != nullptr && watched_->writable; }

    // Takes what is there for the first buffer that is not empty.
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return async_read_by<void(error_code, std::size_t)>(
            [this, into = first_filled<asio::mutable_buffer>(buffers)](error_code& ec, std::size_t& n) {
                if (into.size() == 0) return true;
                return readable() && settle(read_now(into.data(), into.size()), ec, n);
            },
            std::forward<Token>(token));
    }
    // Whoever has come to know by a wait to read reads until there is no more, or waits in vain.
    template <class Token>
    auto async_wait(wait_type what, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [this](auto handler, wait_type for_what) {
                if (for_what == wait_read)
                    this->template begin<void(error_code)>(std::move(handler), true,
                                                           [this](error_code&, std::size_t&) { return readable(); });
                else
                    this->template begin<void(error_code)>(std::move(handler), false,
                                                           [this](error_code&, std::size_t&) { return writable(); });
            },
            token, what);
    }
    // `step(ec, n)` is called when the socket is readable or writable, at first in any case, until it returns true.
    template <class Signature, class Step, class Token>
    auto async_read_by(Step step, Token&& token) {
        return asio::async_initiate<Token, Signature>(
            [this](auto handler, Step each) {
                this->template begin<Signature>(std::move(handler), true, std::move(each));
            },
            token, std::move(step));
    }
    template <class Signature, class Step, class Token>
    auto async_write_by(Step step, Token&& token) {
        return asio::async_initiate<Token, Signature>(
            [this](auto handler, Step each) {
                this->template begin<Signature>(std::move(handler), false, std::move(each));
            },
            token, std::move(step));
    }

    // Like asio::ssl::stream, one call moves bytes of one buffer of a sequence only: the first that is not empty.
    template <class Buffer, class Buffers>
    static Buffer first_filled(const Buffers& buffers) {
        for (auto each = asio::buffer_sequence_begin(buffers); each != asio::buffer_sequence_end(buffers); ++each)
            if (const Buffer one(*each); one.size() != 0) return one;
        return {};
    }

private:
    template <class Signature, class Handler, class Step>
    class operation final : public descriptor_wait {
    public:
        operation(Handler&& handler, Step&& step)
            : descriptor_wait(attempt, end), handler_(std::move(handler)), step_(std::move(step)) {}

    private:
        static bool attempt(descriptor_wait& one) {
            auto& self = static_cast<operation&>(one);
            return self.step_(self.error, self.transferred);
        }
        static void end(pending* one, bool told) {
            frame_ptr<operation> self(static_cast<operation*>(one));
            auto handler = std::move(self->handler_);
            const auto ec = self->error;
            const auto n = self->transferred;
            self.reset();
            if (!told) return;
            if constexpr (std::is_same_v<Signature, void(error_code)>)
                handler(ec);
            else
                handler(ec, n);
        }

        Handler handler_;
        Step step_;
    };

    template <class Signature, class Handler, class Step>
    void begin(Handler handler, bool to_read, Step step) {
        auto& what = *make_in_frame<operation<Signature, Handler, Step>>(std::move(handler), std::move(step)).release();
        if (watched_ == nullptr) {
            what.error = asio::error::bad_descriptor;
            poller_->come_due(what);
        } else if (to_read) {
            poller_->wait_to_read(*watched_, what);
        } else {
            poller_->wait_to_write(*watched_, what);
        }
    }
    void adopt(descriptor owned, bool connecting, error_code& ec);
    // Of a read: whether it is done, and with what.
    static bool settle(ssize_t result, error_code& ec, std::size_t& n);

    poller* poller_;
    watched* watched_ = nullptr;
};

} // namespace scoregate::base
