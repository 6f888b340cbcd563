#include "base/socket.hpp"

#include "base/gate.hpp"
#include "base/pause.hpp"
#include "base/unacknowledged.hpp"

#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
namespace base = scoregate::base;
namespace asio = scoregate::base::asio;

namespace {

using done = std::optional<base::error_code>;

// A socket on a loop, and the peer's end of it.
struct two_ends {
    explicit two_ends(asio::io_context& io) : ours(io.get_executor()), peer(io, base::tcp::v4()) {
        base::tcp_acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
        peer.connect(acceptor.local_endpoint());
        ours = base::socket(acceptor.accept());
    }
    void say(std::string_view what) { asio::write(peer, asio::buffer(what)); }
    // What it read, and how that went; none yet: it waits.
    void read() {
        outcome.reset();
        ours.async_read_some(asio::buffer(room), [this](base::error_code ec, std::size_t n) {
            outcome = ec;
            text.assign(room.data(), n);
        });
    }

    base::socket ours;
    base::tcp_socket peer;
    std::array<char, 16> room{};
    done outcome;
    std::string text;
};

void wait_until_readable(const base::socket& one) {
    pollfd event{one.native_handle(), POLLIN, 0};
    REQUIRE(::poll(&event, 1, 10'000) == 1);
}

// One turn of a loop that drives its poller.
void turn(asio::io_context& io, std::chrono::milliseconds most = 10s) {
    auto& poller = base::poller::of(io.get_executor());
    poller.look(most);
    poller.tell();
}

struct driven_loop : asio::io_context {
    driven_loop() { poller().drive(); }
    base::poller& poller() { return base::poller::of(get_executor()); }
};

base::task<> wait_for_ever(two_ends& ends, std::shared_ptr<int> held) {
    std::array<char, 1> byte{};
    co_await ends.ours.async_read_some(asio::buffer(byte), base::awaited);
    *held = 1;
}

} // namespace

TEST_CASE("a read waits for bytes; one that came short has taken all there was") {
    driven_loop io;
    two_ends at(io);
    at.read();
    CHECK_FALSE(at.outcome);
    at.say("hello");
    wait_until_readable(at.ours);
    turn(io);
    REQUIRE(at.outcome == base::error_code());
    CHECK(at.text == "hello");
    CHECK_FALSE(at.ours.readable());
    at.say("again");
    wait_until_readable(at.ours);
    CHECK_FALSE(at.ours.readable()); // nobody has looked
    turn(io);
    CHECK(at.ours.readable());
    at.read();
    CHECK_FALSE(at.outcome); // never within the call
    turn(io);
    CHECK(at.text == "again");
}

TEST_CASE("more than fits is there for the next read, without another event") {
    driven_loop io;
    two_ends at(io);
    at.say("0123456789abcdefghij");
    wait_until_readable(at.ours);
    turn(io);
    at.read();
    turn(io);
    CHECK(at.text == "0123456789abcdef");
    at.read();
    turn(io);
    CHECK(at.text == "ghij");
}

TEST_CASE("an end that comes with the last bytes is not missed") {
    driven_loop io;
    two_ends at(io);
    at.say("bye");
    at.peer.shutdown(base::tcp_socket::shutdown_send);
    wait_until_readable(at.ours);
    while (true) { // the end may be one event later
        at.read();
        turn(io);
        if (at.outcome) break;
    }
    CHECK(at.text == "bye");
    at.read();
    turn(io);
    REQUIRE(at.outcome);
    CHECK(*at.outcome == asio::error::eof);
    CHECK(at.ours.readable()); // for ever
}

TEST_CASE("urgent data, at which a read comes short, hides nothing behind it") {
    driven_loop io;
    two_ends at(io);
    at.say("ab");
    REQUIRE(::send(at.peer.native_handle(), "!", 1, MSG_OOB) == 1);
    at.say("cd");
    while (base::unacknowledged(at.peer.native_handle()) != 0) {
    } // all has come
    std::string read;
    while (read.size() < 4) {
        at.read();
        turn(io);
        REQUIRE(at.outcome == base::error_code());
        read += at.text;
    }
    CHECK(read == "abcd");
}

TEST_CASE("who waits is told of a cancel, and of a close, but not within the call") {
    driven_loop io;
    two_ends at(io);
    at.read();
    at.ours.cancel();
    CHECK_FALSE(at.outcome);
    turn(io);
    REQUIRE(at.outcome);
    CHECK(*at.outcome == asio::error::operation_aborted);
    at.read();
    at.ours.close();
    turn(io);
    CHECK(*at.outcome == asio::error::operation_aborted);
    at.read();
    turn(io);
    CHECK(*at.outcome == asio::error::bad_descriptor);
}

TEST_CASE("who is told first may close another that is ready") {
    driven_loop io;
    two_ends first(io), second(io);
    bool told = false;
    first.ours.async_wait(base::socket::wait_read, [&](base::error_code ec) {
        told = !ec;
        second.ours.close();
    });
    second.read();
    first.say("x");
    wait_until_readable(first.ours);
    second.say("y");
    wait_until_readable(second.ours);
    turn(io);
    CHECK(told);
    CHECK_FALSE(second.outcome);
    turn(io);
    REQUIRE(second.outcome);
    CHECK(*second.outcome == asio::error::operation_aborted);
}

TEST_CASE("a socket in the place of one that was closed has nothing of its events") {
    driven_loop io;
    two_ends first(io);
    const base::descriptor copy(::dup(first.ours.native_handle())); // as a process that is being forked has
    first.ours.close();
    two_ends second(io);
    second.read();
    first.say("x");
    pollfd event{copy.number(), POLLIN, 0};
    REQUIRE(::poll(&event, 1, 10'000) == 1);
    turn(io, 0ms);
    CHECK_FALSE(second.ours.readable());
    CHECK_FALSE(second.outcome);
    second.say("y");
    wait_until_readable(second.ours);
    turn(io);
    CHECK(second.text == "y");
}

TEST_CASE("a full socket is waited for, and tells of room") {
    driven_loop io;
    two_ends at(io);
    const std::vector<char> much(1024 * 1024);
    std::size_t sent = 0;
    for (ssize_t n = 0; n >= 0; n = at.ours.write_now(much.data(), much.size())) sent += static_cast<std::size_t>(n);
    bool room = false;
    at.ours.async_wait(base::socket::wait_write, [&](base::error_code ec) { room = !ec; });
    turn(io, 0ms);
    CHECK_FALSE(room);
    std::vector<char> taken(sent);
    asio::read(at.peer, asio::buffer(taken));
    while (!room) turn(io);
    CHECK(at.ours.write_now("x", 1) == 1);
}

TEST_CASE("what is posted from another thread ends the look and runs in the loop's thread, in order") {
    driven_loop io;
    std::string order;
    std::thread::id where;
    std::thread other([&] {
        io.poller().post([&] { order += 'a'; });
        io.poller().post([&] {
            order += 'b';
            where = std::this_thread::get_id();
        });
    });
    const auto begin = std::chrono::steady_clock::now();
    while (order.size() < 2) turn(io, 60s);
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
    other.join();
    CHECK(order == "ab");
    CHECK(where == std::this_thread::get_id());
}

TEST_CASE("what is for later comes behind all that is ready by then") {
    driven_loop io;
    two_ends at(io);
    std::string order;
    io.poller().later([&] {
        order += '1';
        io.poller().later([&] { order += '3'; });
        at.ours.async_wait(base::socket::wait_read, [&](base::error_code) { order += '2'; });
    });
    turn(io);
    CHECK(order == "1");
    at.say("x");
    wait_until_readable(at.ours);
    turn(io);
    CHECK(order == "123");
}

TEST_CASE("a loop that drives no poller waits for it, and ends when nothing waits") {
    asio::io_context io;
    two_ends at(io);
    at.read();
    at.say("hello");
    io.run();
    CHECK(at.text == "hello");
    at.read();
    at.ours.cancel();
    io.restart();
    io.run(); // or this would not end
    CHECK(*at.outcome == asio::error::operation_aborted);
    io.restart();
    CHECK(io.poll() == 0);
}

TEST_CASE("with a loop goes who waits on it") {
    const auto held = std::make_shared<int>(0);
    base::gate inside;
    {
        auto io = std::make_unique<asio::io_context>();
        auto ends = std::make_unique<two_ends>(*io);
        base::spawn(io->get_executor(), inside, wait_for_ever(*ends, held));
        io->poll();
        CHECK(held.use_count() == 2);
        ends->ours.cancel(); // is told by nobody
        io->restart();
        ends.reset();
    }
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

TEST_CASE("an event lets who waits by then go on, by and by, and nobody who comes after") {
    driven_loop io;
    base::event news(io.get_executor());
    int heard = 0;
    news.tell(); // nobody waits
    news.async_wait([&] { ++heard; });
    turn(io, 0ms);
    CHECK(heard == 0);
    news.tell();
    news.tell();
    CHECK(heard == 0);
    news.async_wait([&] { ++heard; });
    turn(io);
    CHECK(heard == 1);
    turn(io, 0ms);
    CHECK(heard == 1);
    news.tell();
    turn(io);
    CHECK(heard == 2);
}

TEST_CASE("with a loop goes who waits for an event of it") {
    const auto held = std::make_shared<int>(0);
    base::gate inside;
    const auto wait = [](base::executor where, std::shared_ptr<int>) -> base::task<> {
        base::event never(where);
        co_await never.async_wait(base::awaited);
    };
    {
        asio::io_context io;
        base::spawn(io.get_executor(), inside, wait(io.get_executor(), held));
        io.poll();
        CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("all that a look finds is known before any of it is told, however many are ready") {
    driven_loop io;
    std::vector<std::unique_ptr<two_ends>> all;
    for (int i = 0; i < 300; ++i) all.push_back(std::make_unique<two_ends>(io));
    bool known = false;
    all.front()->ours.async_wait(base::socket::wait_read,
                                 [&](base::error_code) { known = all.back()->ours.readable(); });
    for (auto& each : all) {
        each->say("x");
        wait_until_readable(each->ours);
    }
    turn(io);
    CHECK(known);
}

TEST_CASE("what was posted before something became ready is done before that is told") {
    driven_loop io;
    two_ends at(io);
    bool done = false;
    std::optional<bool> found;
    at.ours.async_wait(base::socket::wait_read, [&](base::error_code) { found = done; });
    io.poller().post([&] { done = true; });
    at.say("x");
    wait_until_readable(at.ours);
    turn(io);
    CHECK(found == true);
}

TEST_CASE("what is posted while a loop goes, goes too") {
    struct posts_when_gone {
        driven_loop& io;
        std::shared_ptr<int> held;
        ~posts_when_gone() {
            io.poller().post([held = held] { ++*held; });
        }
    };
    const auto held = std::make_shared<int>(0);
    {
        driven_loop io;
        io.poller().later([owned = std::unique_ptr<posts_when_gone>(new posts_when_gone{io, held})] {});
        CHECK(held.use_count() > 1);
    }
    CHECK(held.use_count() == 1);
    CHECK(*held == 0);
}

TEST_CASE("a pause ends when its time is over, or when it is told to") {
    driven_loop io;
    base::deadline_wheel wheel;
    base::pause pause(wheel, io.get_executor());
    base::gate inside;
    int over = 0;
    const auto wait = [&](std::chrono::milliseconds most) -> base::task<> {
        co_await pause.wait(most);
        ++over;
    };
    base::spawn(io.get_executor(), inside, wait(100ms));
    io.poll();
    wheel.advance(50ms);
    turn(io, 0ms);
    CHECK(over == 0);
    wheel.advance(200ms);
    turn(io, 0ms);
    CHECK(over == 1);
    base::spawn(io.get_executor(), inside, wait(1h));
    io.restart();
    io.poll();
    pause.end();
    turn(io, 0ms);
    CHECK(over == 2);
    wheel.advance(300ms);
    turn(io, 0ms);
    CHECK(inside.inside() == 0);
}
