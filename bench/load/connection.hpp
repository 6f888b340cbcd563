// One connection to the target, over TLS or plain, one request at a time. It moves bytes and checks each reply; what is
// done with it and when is its owner's affair. May be opened again after it has closed. One thread.
//
// A call of its owner is the last thing that a connection does: the owner may close, open or ask it from there (but for
// `received`, which only looks).
#pragma once

#include "clock.hpp"
#include "reply.hpp"
#include "target.hpp"

#include <cstdint>
#include <memory>
#include <string_view>

namespace load {

class connection;

// How it ended. `connect` includes the handshake; `gone`: the server closed it while nothing was asked of it.
enum class fault { connect, read, write, timeout, gone };

class connection_owner {
public:
    virtual ~connection_owner() = default;
    virtual void ready(connection&) = 0;                    // connected, and TLS is up
    virtual void answered(connection&, bool right) = 0;     // the reply is whole; with keep-alive it may be asked again
    virtual void failed(connection&, fault) = 0;            // and closed
    virtual void received(connection&, std::string_view) {} // a piece of the reply's body
};

class connection {
public:
    connection(std::size_t number, int epoll, const target& to, connection_owner& owner)
        : number_(number), epoll_(epoll), to_(to), owner_(owner) {}
    ~connection() { close(); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // `due` is when this was to happen; it is kept for the owner. Throws std::system_error without descriptors.
    void open(moment due, moment now);
    // Sends the request. It must be idle.
    void ask(moment due, moment now);
    void close();                     // with close_notify
    void serve(std::uint32_t events); // what epoll says of it

    std::size_t number() const { return number_; } // its place among the owner's, from 0
    bool closed() const { return state_ == state::closed; }
    bool idle() const { return state_ == state::idle; }
    bool asking() const { return state_ == state::asking; }
    bool resumed() const { return resumed_; } // the handshake was that of an earlier session
    const reply& last_reply() const { return reply_; }
    moment due() const { return due_; }
    moment read_at() const { return read_at_; } // the last time; all that one read brought has the same

    // Fails when what it waits for has taken too long: with `timeout` where it was asked for something.
    void expire(moment now) {
        if (deadline_ < now) fail(fault::timeout);
    }
    void extend(moment deadline) { deadline_ = deadline; }

private:
    enum class state { closed, connecting, handshaking, idle, asking };

    void established();
    void handshake();
    void send();
    void receive();
    bool read_some(std::string_view& bytes);
    void take(std::string_view bytes);
    void ended();
    void finish(bool right);
    void fail(fault why);
    void watch(int operation, std::uint32_t events);

    const std::size_t number_;
    const int epoll_;
    const target& to_;
    connection_owner& owner_;
    int fd_ = -1;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
    std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session_{nullptr, SSL_SESSION_free};
    state state_ = state::closed;
    bool resumed_ = false;
    bool waits_to_write_ = false;
    std::size_t sent_ = 0; // of the request
    reply reply_;
    moment due_{}, read_at_{};
    moment deadline_ = never;
};

constexpr auto patience = std::chrono::seconds(10); // with a connection, with a reply

} // namespace load
