#include "base/plain_stream.hpp"

#include <catch2/catch.hpp>

#include <boost/asio/write.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace scoregate::base;
using namespace std::chrono_literals;

namespace {

struct two_ends {
    two_ends() {
        tcp_acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
        tcp_socket ours(io);
        peer.connect(acceptor.local_endpoint());
        acceptor.accept(ours);
        ours.non_blocking(true);
        peer.non_blocking(true);
        stream.emplace(scoregate::base::socket(std::move(ours)));
    }
    // The peer reads what is there; how much.
    std::size_t read() {
        error_code ec;
        return peer.read_some(asio::buffer(room), ec);
    }
    bool until(const std::function<bool()>& done) {
        for (const auto end = std::chrono::steady_clock::now() + 60s; !done();) {
            if (std::chrono::steady_clock::now() > end) return false;
            io.restart();
            io.poll();
        }
        return true;
    }

    asio::io_context io{1};
    tcp_socket peer{io};
    std::optional<plain_stream> stream;
    std::vector<char> room = std::vector<char>(65536);
};

} // namespace

TEST_CASE("what the peer's system has taken is known while a write waits, and with it who reads slowly") {
    two_ends at;
    CHECK(at.stream->taken() == 0);
    error_code ec;
    CHECK(at.stream->write_now("hello", ec) == 5);
    CHECK(at.until([&] { return at.stream->taken() == 5; })); // though nobody has read it

    const std::string bytes(32 << 20, 'x');
    std::optional<error_code> written;
    asio::async_write(*at.stream, asio::buffer(bytes), [&](error_code failed, std::size_t) { written = failed; });
    std::uint64_t before = 0;
    CHECK(at.until([&] { // until it takes nothing more
        const auto taken = at.stream->taken();
        return taken > 5 && std::exchange(before, taken) == taken;
    }));
    CHECK(before < bytes.size());
    CHECK_FALSE(written);
    CHECK(at.until([&] { return at.read() == 0 || at.stream->taken() > before; }));
    CHECK(at.until([&] {
        at.read();
        return written && at.stream->taken() == bytes.size() + 5;
    }));
    CHECK_FALSE(*written);
}
