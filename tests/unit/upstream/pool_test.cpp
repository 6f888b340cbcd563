#include "upstream/pool.hpp"

#include "base/gate.hpp"
#include "support/unix_listener.hpp"

#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <iterator>
#include <list>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace scoregate;
using namespace scoregate::upstream;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

base::task<> connect_to(connection& which, std::vector<base::tcp::endpoint> addresses, base::error_code& result) {
    base::buffer_pool buffers;
    const routing::replica where{1, "http://replica", std::move(addresses), "replica", false, {}, {}};
    result = co_await which.open(where, buffers);
}

base::task<> connect_to_path(connection& which, std::string path, base::error_code& result) {
    base::buffer_pool buffers;
    const routing::replica where{1, "http+unix://" + path, {}, "localhost", false, {}, {}, 0, path};
    result = co_await which.open(where, buffers);
}

// A replica that takes connections and does what the test says.
class replica {
public:
    base::tcp::endpoint address() const { return acceptor_.local_endpoint(); }

    // A connection of ours, and the replica's end of it.
    std::pair<std::unique_ptr<connection>, base::tcp_socket> make(std::uint64_t id = 1) {
        auto ours = std::make_unique<connection>(io_.get_executor(), id);
        const auto ec = connect(*ours, {address()});
        REQUIRE_FALSE(ec);
        base::tcp_socket theirs(io_);
        acceptor_.accept(theirs);
        return {std::move(ours), std::move(theirs)};
    }
    base::error_code connect(connection& which, std::vector<base::tcp::endpoint> addresses) {
        base::error_code result = asio::error::would_block;
        base::spawn(io_.get_executor(), inside_, connect_to(which, std::move(addresses), result));
        io_.restart();
        io_.run();
        return result;
    }
    asio::io_context& io() { return io_; }

private:
    asio::io_context io_{1};
    base::gate inside_;
    base::tcp_acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
};

// The kernel delivers over loopback in its own time: waits for the event, not for a while; then its loop looks.
void wait_until_readable(connection& which) {
    pollfd event{which.socket().native_handle(), POLLIN, 0};
    REQUIRE(::poll(&event, 1, 10'000) == 1);
    base::poller::of(which.socket().get_executor()).look(std::chrono::milliseconds(0));
}

// True once the other side has closed; false if it does not.
bool ended(base::tcp_socket& end) {
    pollfd event{end.native_handle(), POLLIN, 0};
    if (::poll(&event, 1, 10'000) != 1) return false;
    std::array<char, 1> byte{};
    base::error_code ec;
    end.read_some(asio::buffer(byte), ec);
    return ec == asio::error::eof;
}

// An address that refuses: it was free a moment ago.
base::tcp::endpoint refusing(asio::io_context& io) {
    base::tcp_acceptor taken(io, {asio::ip::address_v4::loopback(), 0});
    return taken.local_endpoint();
}

constexpr std::chrono::steady_clock::time_point start{1000h};

} // namespace

TEST_CASE("the connection that came back last is lent first") {
    replica far;
    pool idle;
    CHECK(idle.take(1, start) == nullptr);
    std::vector<base::tcp_socket> ends;
    std::vector<const connection*> given;
    for (int i = 0; i < 3; ++i) {
        auto [ours, theirs] = far.make();
        given.push_back(ours.get());
        ends.push_back(std::move(theirs));
        idle.give(std::move(ours), start);
    }
    const auto first = idle.take(1, start), second = idle.take(1, start), third = idle.take(1, start);
    CHECK(first.get() == given[2]);
    CHECK(second.get() == given[1]);
    CHECK(third.get() == given[0]);
    CHECK(idle.take(1, start) == nullptr);
}

TEST_CASE("a connection is lent for its own replica only") {
    replica far;
    pool idle;
    auto [one, end_of_one] = far.make(1);
    auto [other, end_of_other] = far.make(2);
    const auto* const kept = other.get();
    idle.give(std::move(one), start);
    idle.give(std::move(other), start);
    CHECK(idle.take(3, start) == nullptr);
    CHECK(idle.take(2, start).get() == kept);
    CHECK(idle.take(2, start) == nullptr);
    CHECK(idle.take(1, start) != nullptr);
}

TEST_CASE("a connection that was closed or spoken on meanwhile is not lent") {
    replica far;
    pool idle;
    auto [good, end_of_good] = far.make();
    auto [closed, end_of_closed] = far.make();
    auto [reset, end_of_reset] = far.make();
    auto [talked, end_of_talked] = far.make();
    const auto* const kept = good.get();
    auto &sees_close = *closed, &sees_reset = *reset, &sees_talk = *talked;
    idle.give(std::move(good), start);
    idle.give(std::move(closed), start);
    idle.give(std::move(reset), start);
    idle.give(std::move(talked), start);

    end_of_closed.close();
    end_of_reset.set_option(asio::socket_base::linger(true, 0));
    end_of_reset.close();
    asio::write(end_of_talked, asio::buffer("HTTP/1.1 408 Request Timeout\r\n\r\n", 32));
    wait_until_readable(sees_close);
    wait_until_readable(sees_reset);
    wait_until_readable(sees_talk);
    CHECK_FALSE(sees_close.still_idle());
    CHECK_FALSE(sees_talk.still_idle());
    CHECK_FALSE(sees_talk.still_idle()); // looking takes nothing away
    CHECK(idle.take(1, start).get() == kept);
    CHECK(idle.take(1, start) == nullptr);
}

TEST_CASE("a sweep closes what was idle for too long, and only that") {
    replica far;
    pool idle;
    auto [old, end_of_old] = far.make(1);
    auto [young, end_of_young] = far.make(1);
    auto [other, end_of_other] = far.make(2);
    const auto* const kept = young.get();
    idle.give(std::move(old), start);
    idle.give(std::move(young), start + 2s);
    idle.give(std::move(other), start);

    idle.sweep(start + pool::longest_idle - 1ms);
    std::array<char, 1> byte{};
    end_of_old.non_blocking(true);
    base::error_code ec;
    end_of_old.read_some(asio::buffer(byte), ec);
    CHECK(ec == asio::error::would_block); // still open
    idle.sweep(start + pool::longest_idle);
    CHECK(ended(end_of_old));
    CHECK(ended(end_of_other));
    CHECK(idle.take(2, start + 4s) == nullptr);
    CHECK(idle.take(1, start + 4s).get() == kept);
    CHECK(idle.take(1, start + 4s) == nullptr);
}

TEST_CASE("between two sweeps, too, nothing is lent that was idle for too long") {
    replica far;
    pool idle;
    auto [ours, theirs] = far.make();
    idle.give(std::move(ours), start);
    CHECK(idle.take(1, start + pool::longest_idle) == nullptr);
    CHECK(ended(theirs));
}

TEST_CASE("a replica that announces how long it keeps a connection is believed, with a margin") {
    replica far;
    pool idle;
    auto [ours, theirs] = far.make();
    idle.give(std::move(ours), start, 2s);
    auto again = idle.take(1, start + 1499ms);
    REQUIRE(again);
    idle.give(std::move(again), start, 2s);
    CHECK(idle.take(1, start + 1500ms) == nullptr);

    auto [lasting, end_of_lasting] = far.make();
    idle.give(std::move(lasting), start, 75s); // no reason to keep it longer than any other
    CHECK(idle.take(1, start + pool::longest_idle) == nullptr);
    auto [hasty, end_of_hasty] = far.make();
    idle.give(std::move(hasty), start, 0s);
    CHECK(ended(end_of_hasty));
}

TEST_CASE("a replica that closes first shows how long it waits, and is believed for a while") {
    replica far;
    pool idle;
    const auto close_after = [&](std::chrono::steady_clock::time_point given, std::chrono::milliseconds time) {
        auto [ours, theirs] = far.make();
        auto& sees_close = *ours;
        idle.give(std::move(ours), given);
        theirs.close();
        wait_until_readable(sees_close);
        idle.sweep(given + time);
    };
    const auto lent_after = [&](std::chrono::steady_clock::time_point given, std::chrono::milliseconds time) {
        auto [ours, theirs] = far.make();
        idle.give(std::move(ours), given);
        return idle.take(1, given + time) != nullptr;
    };
    close_after(start, 2s);
    CHECK_FALSE(lent_after(start + 2s, 1500ms));
    CHECK(lent_after(start + 2s, 1499ms));
    idle.sweep(start + 2s + pool::habit_remembered);
    CHECK(lent_after(start + 70s, 3s));
}

TEST_CASE("a replica that ends closes all its connections: that shows nothing") {
    replica far;
    pool idle;
    auto [ours, theirs] = far.make();
    auto& sees_close = *ours;
    idle.give(std::move(ours), start);
    theirs.close();
    wait_until_readable(sees_close);
    CHECK(idle.take(1, start + 900ms) == nullptr);
    auto [next, end_of_next] = far.make();
    idle.give(std::move(next), start);
    CHECK(idle.take(1, start + 3s) != nullptr);
}

TEST_CASE("a connection ends after its most requests, and after its longest life") {
    replica far;
    pool idle;
    auto [busy, end_of_busy] = far.make(1);
    idle.give(std::move(busy), start);
    for (unsigned i = 1; i < pool::most_requests - 1; ++i) idle.give(idle.take(1, start), start);
    auto last = idle.take(1, start);
    REQUIRE(last);
    idle.give(std::move(last), start);
    CHECK(idle.take(1, start) == nullptr);
    CHECK(ended(end_of_busy));

    auto [old, end_of_old] = far.make(2);
    idle.give(std::move(old), start);
    auto kept = idle.take(2, start + 1s);
    REQUIRE(kept);
    idle.give(std::move(kept), start + pool::longest_life);
    CHECK(ended(end_of_old));
}

TEST_CASE("what has come back again counts as fresh") {
    replica far;
    pool idle;
    auto [ours, theirs] = far.make();
    idle.give(std::move(ours), start);
    auto again = idle.take(1, start);
    REQUIRE(again);
    idle.give(std::move(again), start + 3s);
    idle.sweep(start + 5s);
    CHECK(idle.take(1, start + 5s) != nullptr);
}

TEST_CASE("a pool keeps a bounded number per replica") {
    asio::io_context io{1};
    pool idle;
    // Unconnected sockets suffice to be counted: a closed one is never lent, so the surplus shows in the destructor.
    std::vector<int> pairs;
    for (std::size_t i = 0; i < pool::most_idle_per_replica + 3; ++i) {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
        auto ours = std::make_unique<connection>(io.get_executor(), 1);
        base::error_code ec;
        ours->socket().assign(base::descriptor(ends[0]), ec);
        REQUIRE_FALSE(ec);
        pairs.push_back(ends[1]);
        idle.give(std::move(ours), start);
    }
    std::size_t open = 0;
    for (const int end : pairs) {
        char byte = 0;
        if (::recv(end, &byte, 1, MSG_DONTWAIT) < 0) ++open; // EAGAIN: the other end still stands
        ::close(end);
    }
    CHECK(open == pool::most_idle_per_replica);
}

TEST_CASE("connections to replicas that are gone close, now or when they come back") {
    replica far;
    pool idle;
    auto [kept, end_of_kept] = far.make(1);
    auto [gone, end_of_gone] = far.make(2);
    auto [busy, end_of_busy] = far.make(2);
    idle.give(std::move(kept), start);
    idle.give(std::move(gone), start);
    idle.retain({1, 3});
    CHECK(ended(end_of_gone));
    idle.give(std::move(busy), start);
    CHECK(ended(end_of_busy));
    CHECK(idle.take(2, start) == nullptr);
    CHECK(idle.take(1, start) != nullptr);
}

TEST_CASE("connecting to a Unix socket") {
    asio::io_context io{1};
    tests::unix_listener far(io);
    const auto connect = [&](connection& which, const std::string& path) {
        base::error_code result = asio::error::would_block;
        base::gate inside;
        base::spawn(io.get_executor(), inside, connect_to_path(which, path, result));
        io.restart();
        io.run();
        return result;
    };
    connection one(io.get_executor(), 1);
    CHECK_FALSE(connect(one, far.path()));
    CHECK(one.still_idle());
    auto theirs = far.accept();
    asio::write(theirs, asio::buffer("x", 1));
    wait_until_readable(one);
    CHECK_FALSE(one.still_idle());

    connection nowhere(io.get_executor(), 1), nobody(io.get_executor(), 1);
    CHECK(connect(nowhere, far.path() + ".not") == boost::system::errc::no_such_file_or_directory);
    far.stop();
    CHECK(connect(nobody, far.path()) == boost::system::errc::connection_refused);
}

TEST_CASE("a Unix socket whose backlog is full is waited for, until that is cancelled") {
    asio::io_context io{1};
    tests::unix_listener far(io, 0);
    std::list<connection> waiting;
    std::list<base::error_code> results;
    base::gate inside;
    const auto begin = [&] {
        auto& which = waiting.emplace_back(io.get_executor(), 1);
        auto& result = results.emplace_back(asio::error::would_block);
        base::spawn(io.get_executor(), inside, connect_to_path(which, far.path(), result));
    };
    // The kernel lets in one more than the backlog.
    for (int i = 0; i < 3; ++i) begin();
    while (inside.inside() > 2) io.run_one();
    CHECK(results.back() == asio::error::would_block);
    waiting.back().cancel();
    while (inside.inside() > 1) io.run_one();
    CHECK(results.back() == asio::error::operation_aborted);
    CHECK(results.front() == base::error_code());
    const auto first = far.accept(); // makes room
    while (inside.inside() > 0) io.run_one();
    CHECK(*std::next(results.begin()) == base::error_code());
}

TEST_CASE("connecting tries the addresses in turn") {
    replica far;
    connection one(far.io().get_executor(), 7);
    CHECK(one.replica_id() == 7);
    CHECK_FALSE(far.connect(one, {refusing(far.io()), far.address()}));
    base::tcp_socket looked_at(far.io(), base::tcp::v4(), one.socket().release().release());
    CHECK(looked_at.remote_endpoint() == far.address());
    base::tcp::no_delay no_delay;
    looked_at.get_option(no_delay);
    CHECK(no_delay.value());
    one.socket() = base::socket(std::move(looked_at));
    CHECK(one.still_idle());

    connection none(far.io().get_executor(), 1);
    CHECK(far.connect(none, {refusing(far.io())}) == asio::error::connection_refused);
    connection nowhere(far.io().get_executor(), 1);
    CHECK(far.connect(nowhere, {}) == asio::error::host_not_found);
}

TEST_CASE("connecting ends when it is cancelled, with addresses left") {
    replica far;
    connection one(far.io().get_executor(), 1);
    base::error_code result = asio::error::would_block;
    base::gate inside;
    base::spawn(far.io().get_executor(), inside, connect_to(one, {refusing(far.io()), far.address()}, result));
    asio::post(far.io(), [&] { one.cancel(); });
    far.io().restart();
    far.io().run();
    CHECK(result == asio::error::operation_aborted);
}
