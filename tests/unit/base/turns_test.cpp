#include "base/turns.hpp"

#include "base/gate.hpp"
#include "base/socket.hpp"
#include "support/counted.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <string>
#include <sys/socket.h>

using namespace scoregate::base;
using scoregate::tests::counted;

namespace {

constexpr auto one_each_time = turns::clock::duration::zero();
constexpr auto all_at_once = turns::clock::duration::max();

// What ran, letter by letter.
struct loop {
    explicit loop(turns::clock::duration slice) : line(io.get_executor(), slice) { its().drive(); }
    poller& its() { return poller::of(io.get_executor()); }
    // Until nothing is left to do.
    void run() {
        do {
            io.restart();
            io.poll();
            its().look(std::chrono::milliseconds(0));
            its().tell();
        } while (inside.inside() != 0 || short_ones_left != 0);
    }

    task<> wait(char name, int times) {
        for (; times > 0; --times) {
            co_await line.next();
            ran += name;
        }
    }
    void begin(char name, int times = 1) { spawn(io.get_executor(), inside, wait(name, times)); }
    // Something short that is ready each time the loop comes round.
    void short_ones(int count) {
        short_ones_left = count;
        its().later([this, count] {
            ran += '.';
            short_ones_left = count - 1;
            if (count > 1) short_ones(count - 1);
        });
    }

    asio::io_context io{1};
    gate inside;
    turns line;
    std::string ran;
    int short_ones_left = 0;
};

} // namespace

TEST_CASE("one has its turn, then what else is ready, in the order of coming") {
    loop at(one_each_time);
    at.begin('a');
    at.begin('b');
    at.begin('c');
    at.short_ones(4);
    at.run();
    CHECK(at.ran == ".a.b.c.");
    CHECK(at.inside.inside() == 0);
}

TEST_CASE("who comes again stands behind those that wait") {
    loop at(one_each_time);
    at.begin('a', 3);
    at.begin('b', 2);
    at.short_ones(6);
    at.run();
    CHECK(at.ran == ".a.b.a.b.a.");
}

TEST_CASE("what comes to a socket while one has its turn goes before the next") {
    loop at(one_each_time);
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0);
    scoregate::base::socket here(at.io.get_executor()), there(at.io.get_executor());
    error_code ec;
    here.assign(descriptor(pair[0]), ec);
    there.assign(descriptor(pair[1]), ec);
    REQUIRE_FALSE(ec);
    const auto reads = [](loop& of, auto& from) -> task<> {
        std::array<char, 8> bytes{};
        for (int i = 0; i < 2; ++i) {
            co_await from.async_wait(asio::socket_base::wait_read, awaited);
            from.read_now(bytes.data(), bytes.size());
            of.ran += '!';
        }
    };
    const auto writes = [](loop& of, auto& to, char name) -> task<> {
        co_await of.line.next();
        to.write_now("x", 1);
        of.ran += name;
    };
    spawn(at.io.get_executor(), at.inside, reads(at, here));
    spawn(at.io.get_executor(), at.inside, writes(at, there, 'a'));
    spawn(at.io.get_executor(), at.inside, writes(at, there, 'b'));
    at.begin('c');
    at.run();
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
    at.run();
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
