// The admin port: health, readiness, metrics, status, history, the page, reload, drain, log level. Beast's own server
// side on the control thread, far from the data path. What tells more than health and counts is answered to who has the
// token, or without one to loopback, and only under a Host that a browser cannot be tricked into (DNS rebinding), and
// to no page of another origin. However many connections somebody opens, the next one is served: who has kept the port
// waiting longest makes room.
#pragma once

#include "auth/keys.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "config/problem.hpp"

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::control {

// What the port shows and does. Called on the control thread.
struct admin_operations {
    std::function<bool()> ready;
    std::function<std::string()> metrics;
    std::function<std::string()> status;
    std::function<base::task<config::problems>()> reload; // empty result: in force
    std::function<void()> drain;                          // after the answer to who asked; may be more than once
    // Who may ask for more than health and counts; null: everyone on loopback.
    std::function<std::shared_ptr<const auth::service_keys>()> token = [] { return nullptr; };
    // Samples after turn `since` (control::recorder), as JSON.
    std::function<std::string(std::uint64_t since)> history = [](std::uint64_t) { return std::string("{}\n"); };
    // While it is not ready, if there is more to say about it.
    std::function<std::string()> unready_because = [] { return std::string(); };
};

class admin_server {
public:
    // `descriptor` is bound, listening, non-blocking; owned from here on. `hosts`: names that Host may have besides IP
    // literals and localhost.
    admin_server(base::executor where, int descriptor, std::vector<std::string> hosts, admin_operations does);

    void start();
    // Leaves the socket to another process that shares it; connections that it has accepted end after their next reply.
    void leave();

private:
    using request = boost::beast::http::request<boost::beast::http::string_body>;
    using response = boost::beast::http::response<boost::beast::http::string_body>;

    using stream = boost::beast::basic_stream<base::tcp, base::executor>;

    base::task<> accept();
    bool make_room();
    base::task<> serve(base::tcp_socket socket);
    base::task<response> answer(request asked, bool from_loopback);
    bool refuse(const request& asked, bool from_loopback, response& reply) const;
    void show(const request& asked, response& reply);
    bool believed(std::string_view host) const;
    bool from_elsewhere(const request& asked) const;

    base::executor where_;
    base::tcp_acceptor acceptor_;
    std::vector<std::string> hosts_;
    admin_operations does_;
    base::gate serving_;
    std::list<stream*> waiting_; // for the other side, the longest first
    bool left_ = false;
    bool to_drain_ = false; // once the answer is written
};

} // namespace scoregate::control
