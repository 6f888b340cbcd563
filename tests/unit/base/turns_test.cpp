#include "base/turns.hpp"

#include "base/gate.hpp"
#include "support/counted.hpp"

#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <catch2/catch.hpp>

#include <array>
#include <string>

using namespace scoregate::base;
using scoregate::tests::counted;

namespace {

constexpr auto one_each_time = turns::clock::duration::zero();
constexpr auto all_at_once = turns::clock::duration::max();

// What ran, letter by letter.
struct loop {
    explicit loop(turns::clock::duration slice) : line(io.get_executor(), slice) {}

    task<> wait(char name, int times) {
        for (; times > 0; --times) {
            co_await line.next();
            ran += name;
        }
    }
    void begin(char name, int times = 1) { spawn(io.get_executor(), inside, wait(name, times)); }
    // Something short that is ready each time the loop comes round.
    void short_ones(int count) {
        asio::post(io, [this, count] {
            ran += '.';
            if (count > 1) short_ones(count - 1);
        });
    }

    asio::io_context io{1};
    gate inside;
    turns line;
    std::string ran;
};

} // namespace

TEST_CASE("one has its turn, then what else is ready, in the order of coming") {
    loop at(one_each_time);
    at.begin('a');
    at.begin('b');
    at.begin('c');
    at.short_ones(7);
    at.io.run();
    CHECK(at.ran == "..a..b..c.");
    CHECK(at.inside.inside() == 0);
}

TEST_CASE("who comes again stands behind those that wait") {
    loop at(one_each_time);
    at.begin('a', 3);
    at.begin('b', 2);
    at.short_ones(11);
    at.io.run();
    CHECK(at.ran == "..a..b..a..b..a.");
}

TEST_CASE("what comes to a socket while one has its turn goes before the next") {
    loop at(one_each_time);
    using local = asio::local::stream_protocol;
    asio::basic_stream_socket<local, executor> here(at.io), there(at.io);
    asio::local::connect_pair(here, there);
    const auto reads = [](loop& of, auto& from) -> task<> {
        std::array<char, 8> bytes{};
        for (int i = 0; i < 2; ++i) {
            co_await from.async_wait(asio::socket_base::wait_read, awaited);
            from.read_some(asio::buffer(bytes));
            of.ran += '!';
        }
    };
    const auto writes = [](loop& of, auto& to, char name) -> task<> {
        co_await of.line.next();
        to.write_some(asio::buffer("x", 1));
        of.ran += name;
    };
    spawn(at.io.get_executor(), at.inside, reads(at, here));
    spawn(at.io.get_executor(), at.inside, writes(at, there, 'a'));
    spawn(at.io.get_executor(), at.inside, writes(at, there, 'b'));
    at.begin('c');
    at.io.run();
    CHECK(at.ran == "a!b!c");
}

TEST_CASE("while the slice lasts and nobody waits there is no wait") {
    loop at(all_at_once);
    at.begin('a', 3);
    at.begin('b');
    CHECK(at.io.poll() == 2); // their beginnings
    CHECK(at.ran == "aaab");
}

TEST_CASE("a line is as far behind as its first has waited") {
    loop at(one_each_time);
    CHECK(at.line.behind() == turns::clock::duration::zero());
    const auto before = turns::clock::now();
    at.begin('a');
    at.begin('b');
    at.io.poll_one();
    at.io.poll_one();
    const auto after = turns::clock::now();
    while (turns::clock::now() < after + std::chrono::milliseconds(2)) {
    }
    CHECK(at.line.behind() >= std::chrono::milliseconds(2));
    CHECK(at.line.behind() <= turns::clock::now() - before);
    at.io.run();
    CHECK(at.line.behind() == turns::clock::duration::zero());
}

TEST_CASE("those in line are destroyed with it") {
    const auto waits = [](turns& line, int& locals) -> task<> {
        const counted one(locals);
        co_await line.next();
    };
    const auto awaits = [&waits](turns& line, int& locals) -> task<> {
        const counted one(locals);
        co_await waits(line, locals);
    };
    int locals = 0;
    asio::io_context io{1};
    gate inside;
    {
        turns line(io.get_executor(), one_each_time);
        spawn(io.get_executor(), inside, awaits(line, locals));
        spawn(io.get_executor(), inside, awaits(line, locals));
        io.poll_one(); // dispatched from outside the loop
        io.poll_one();
        CHECK(locals == 4);
    }
    CHECK(locals == 0);
}
