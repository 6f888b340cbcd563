// A DNS server on 127.0.0.1 that says what the test has written into its zone, over UDP. Runs on the test's own loop.
#pragma once

#include "base/executor.hpp"
#include "config/model.hpp"

#include <boost/asio/ip/udp.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace scoregate::tests {

class dns_server {
public:
    struct srv {
        unsigned priority, weight, port;
        std::string target;
    };
    struct entry {
        enum class how : std::uint8_t { answers, fails, is_silent } what = how::answers;
        std::vector<std::string> addresses = {}; // IPv4 and IPv6
        std::vector<srv> services = {};
        std::uint32_t ttl = 60;
        bool silent_for_v6 = false;
    };

    explicit dns_server(base::asio::io_context& io);
    dns_server(const dns_server&) = delete;
    dns_server& operator=(const dns_server&) = delete;

    config::endpoint address() const { return {"127.0.0.1", socket_.local_endpoint().port()}; }
    // Nobody listens there any more.
    void stop() { socket_.close(); }

    std::map<std::string, entry> zone; // what is not in it does not exist
    std::map<std::string, unsigned> questions;
    bool no_v6 = false; // questions for AAAA are not answered at all

private:
    void receive();
    std::string reply_to(std::string_view question);

    base::asio::ip::udp::socket socket_;
    base::asio::ip::udp::endpoint from_;
    std::array<char, 1500> buffer_;
};

} // namespace scoregate::tests
