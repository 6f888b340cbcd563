#include "tls/stream.hpp"

#include "base/gate.hpp"
#include "support/certificates.hpp"
#include "support/segments.hpp"
#include "tls/server_context.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <sys/ioctl.h>

using namespace scoregate;
using namespace std::chrono_literals;
using base::error_code;
using tls::handshake_outcome;
namespace asio = boost::asio;

namespace {

static_assert(boost::beast::is_async_read_stream<tls::stream>::value);
static_assert(boost::beast::is_async_write_stream<tls::stream>::value);

tls::ssl_ctx_ptr server_context() {
    static const auto chain = tests::make_hierarchy();
    static const auto store = std::make_shared<const tls::certificate_store>(
        std::vector<std::shared_ptr<const tls::certificate>>{chain.certificate()}, "www.contoso.com");
    static const auto keys = tls::own_ticket_keys(std::chrono::steady_clock::now()).current();
    return tls::make_server_context(store, keys);
}

tls::ssl_ctx_ptr client_context() { return tls::ssl_ctx_ptr{SSL_CTX_new(TLS_client_method())}; }

std::string pattern(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
    return bytes;
}

// The client's side: an SSL in memory whose bytes the test carries to and from a real socket, in the pieces it likes.
class client {
public:
    client(SSL_CTX* context, base::tcp_socket socket) : ssl_(SSL_new(context)), socket_(std::move(socket)) {
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(ssl_.get());
        socket_.non_blocking(true);
    }

    SSL* ssl() { return ssl_.get(); }
    base::tcp_socket& socket() { return socket_; }

    // Encrypts; the records stay in unsent until they are carried.
    void say(std::string_view text) {
        if (!text.empty()) SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
        collect();
    }
    void say_goodbye() {
        SSL_shutdown(ssl_.get());
        collect();
    }
    // Hands the socket up to `most` bytes of what is unsent.
    void send(std::size_t most = std::string::npos) {
        error_code ec;
        most = std::min(most, unsent.size());
        unsent.erase(0, socket_.write_some(asio::buffer(unsent.data(), most), ec));
    }
    // Takes what the socket has, decrypts it, goes on with the handshake.
    void receive(std::size_t most = 65536) {
        std::vector<char> bytes(most);
        error_code ec;
        const auto n = socket_.read_some(asio::buffer(bytes), ec);
        if (n != 0) BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(n));
        saw_end = saw_end || (ec && ec != asio::error::would_block);
        if (!SSL_is_init_finished(ssl_.get())) {
            const int result = SSL_do_handshake(ssl_.get());
            failed = failed || (result <= 0 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL);
        }
        int got = -1;
        while (SSL_is_init_finished(ssl_.get()) &&
               (got = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))) > 0)
            heard.append(bytes.data(), static_cast<std::size_t>(got));
        saw_close_notify = saw_close_notify || (got == 0 && SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN);
        ERR_clear_error(); // the queue is the thread's, and so the server's too
        collect();
    }

    std::string unsent, heard;
    bool failed = false, saw_end = false, saw_close_notify = false;

private:
    void collect() {
        char* bytes = nullptr;
        const auto size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &bytes);
        if (size > 0) unsent.append(bytes, static_cast<std::size_t>(size));
        (void)BIO_reset(SSL_get_wbio(ssl_.get()));
        ERR_clear_error();
    }

    tls::ssl_ptr ssl_;
    base::tcp_socket socket_;
};

base::task<> note_handshake(tls::stream& server, std::optional<handshake_outcome>& outcome, base::turns* line,
                            const base::deadline* limit) {
    outcome = co_await server.handshake(line, limit);
}

// Bytes that the kernel has for it.
int unread(const base::socket& of) {
    int bytes = 0;
    REQUIRE(::ioctl(of.native_handle(), FIONREAD, &bytes) == 0);
    return bytes;
}

void set_option(base::socket& of, const asio::socket_base::send_buffer_size& option) {
    base::error_code ec;
    of.set_option(option, ec);
    REQUIRE_FALSE(ec);
}

class connection {
public:
    explicit connection(tls::ssl_ctx_ptr client_side = client_context()) : client_context_(std::move(client_side)) {
        base::tcp_acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
        base::tcp_socket ours(io), theirs(io);
        theirs.connect(acceptor.local_endpoint());
        acceptor.accept(ours);
        ours.non_blocking(true);
        ours.set_option(base::tcp::no_delay(true));
        theirs.set_option(base::tcp::no_delay(true));
        server.emplace(base::socket(std::move(ours)), server_context_.get(), pool);
        peer.emplace(client_context_.get(), std::move(theirs));
    }

    // Both sides go on until `done`. False if that takes longer than anything here may.
    bool until(const std::function<bool()>& done) {
        return wait([&] { peer->send(), peer->receive(); }, done);
    }
    // Only the server goes on.
    bool server_until(const std::function<bool()>& done) {
        return wait([] {}, done);
    }
    handshake_outcome shake() {
        begin_handshake();
        REQUIRE(until([&] { return outcome.has_value(); }));
        return *outcome;
    }
    void begin_handshake(base::turns* line = nullptr, const base::deadline* limit = nullptr) {
        base::spawn(io.get_executor(), inside_, note_handshake(*server, outcome, line, limit));
    }
    void establish() {
        REQUIRE(shake() == handshake_outcome::finished);
        REQUIRE(until([&] { return SSL_is_init_finished(peer->ssl()) == 1; }));
        CHECK(ERR_peek_error() == 0);
    }
    // Waits until everything the client has sent stands in the server's socket.
    void arrive(std::size_t bytes) {
        REQUIRE(server_until([&] { return unread(server->socket()) >= static_cast<int>(bytes); }));
    }

    asio::io_context io{1};
    base::buffer_pool pool;
    std::optional<tls::stream> server;
    std::optional<client> peer;
    std::optional<handshake_outcome> outcome;

private:
    bool wait(const std::function<void()>& step, const std::function<bool()>& done) {
        const auto give_up = std::chrono::steady_clock::now() + 60s;
        while (!done()) {
            if (std::chrono::steady_clock::now() > give_up) return false;
            step();
            io.restart();
            io.poll();
        }
        return true;
    }

    tls::ssl_ctx_ptr server_context_ = server_context();
    tls::ssl_ctx_ptr client_context_;
    base::gate inside_;
};

// What an operation completed with.
struct completion {
    bool done = false;
    error_code ec{};
    std::size_t bytes = 0;
    auto handler() {
        return [this](error_code failed, std::size_t n) { done = true, ec = failed, bytes = n; };
    }
};

} // namespace

TEST_CASE("a handshake finishes, whatever pieces it comes in") {
    connection whole;
    whole.establish();
    CHECK(std::string(SSL_get_version(whole.server->native_handle())) == "TLSv1.2");

    connection sliced;
    sliced.begin_handshake();
    sliced.peer->receive(); // makes the ClientHello
    REQUIRE(sliced.server_until([&] {
        sliced.peer->send(1);
        if (sliced.peer->unsent.empty()) sliced.peer->receive(1);
        return sliced.outcome.has_value();
    }));
    CHECK(sliced.outcome == handshake_outcome::finished);
}

TEST_CASE("a handshake that waits for the client holds no block but for half a record") {
    connection at;
    at.begin_handshake();
    at.peer->receive(); // makes the ClientHello
    REQUIRE(at.server_until([waited = 0]() mutable { return ++waited == 3; }));
    CHECK(at.pool.lent() == 0);
    at.peer->send(50);
    REQUIRE(at.server_until([&] { return at.pool.lent() == 1; }));
    CHECK_FALSE(at.outcome.has_value());
    at.peer->send();
    REQUIRE(at.server_until([&] { return at.peer->socket().available() != 0; })); // certificate and key
    CHECK(at.pool.lent() == 0);
    REQUIRE(at.until([&] { return at.outcome.has_value(); }));
    CHECK(at.outcome == handshake_outcome::finished);
}

TEST_CASE("a handshake that has its turns is finished; nothing is read for one whose time is up in line") {
    connection at;
    base::turns line(at.io.get_executor(), base::turns::clock::duration::zero());
    base::deadline_wheel wheel;
    base::deadline limit(wheel, nullptr, [](void*) {});
    at.begin_handshake(&line, &limit);
    SECTION("in time") {
        REQUIRE(at.until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::finished);
    }
    SECTION("not") {
        at.peer->receive(); // makes the ClientHello
        at.peer->send();
        base::gate inside;
        const auto fire_before_its_turn = [&]() -> base::task<> {
            do {
                co_await line.next();
            } while (line.behind() == base::turns::clock::duration::zero());
            limit.arm(0ms);
            wheel.advance(1s);
        };
        base::spawn(at.io.get_executor(), inside, fire_before_its_turn());
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(limit.fired());
        CHECK(at.outcome == handshake_outcome::cancelled);
        CHECK(unread(at.server->socket()) != 0); // the ClientHello
    }
}

TEST_CASE("how a handshake can fail") {
    SECTION("plain HTTP") {
        connection at;
        at.begin_handshake();
        at.peer->unsent = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        at.peer->send();
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::plain_http);
    }
    SECTION("the client leaves at once") {
        connection at;
        at.begin_handshake();
        at.peer->socket().close();
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::closed);
    }
    SECTION("the client leaves after half a hello") {
        connection at;
        at.begin_handshake();
        at.peer->receive();
        at.peer->send(50);
        at.peer->socket().close();
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::closed);
    }
    SECTION("a deadline") {
        connection at;
        at.begin_handshake();
        asio::post(at.io, [&] { at.server->socket().cancel(); });
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::cancelled);
    }
    SECTION("TLS 1.3 only") {
        auto context = client_context();
        SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
        connection at(std::move(context));
        CHECK(at.shake() == handshake_outcome::unsupported_protocol);
    }
    SECTION("TLS 1.1 only") {
        auto context = client_context();
        SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
        SSL_CTX_set_min_proto_version(context.get(), 0);
        SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
        connection at(std::move(context));
        CHECK(at.shake() == handshake_outcome::unsupported_protocol);
    }
    SECTION("no cipher in common") {
        auto context = client_context();
        SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
        SSL_CTX_set_cipher_list(context.get(), "AES128-SHA");
        connection at(std::move(context));
        CHECK(at.shake() == handshake_outcome::no_shared_cipher);
    }
    SECTION("HTTP/2 only") {
        auto context = client_context();
        const unsigned char h2[] = {2, 'h', '2'};
        SSL_CTX_set_alpn_protos(context.get(), h2, sizeof h2);
        connection at(std::move(context));
        CHECK(at.shake() == handshake_outcome::no_application_protocol);
    }
    SECTION("a client that does not know the CA") {
        auto context = client_context();
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
        connection at(std::move(context));
        CHECK(at.shake() == handshake_outcome::client_alert);
        CHECK(at.peer->failed);
    }
    SECTION("neither TLS nor HTTP") {
        connection at;
        at.begin_handshake();
        at.peer->unsent = std::string("\x16\x03\x01\x00\x04\x7f\x00\x00\x00", 9);
        at.peer->send();
        REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
        CHECK(at.outcome == handshake_outcome::other);
    }
}

TEST_CASE("one read takes all records that have arrived") {
    connection at;
    at.establish();
    std::string said;
    for (int i = 0; i < 10; ++i) {
        said += "record " + std::to_string(i) + '\n';
        at.peer->say("record " + std::to_string(i) + '\n');
    }
    const auto size = at.peer->unsent.size();
    at.peer->send();
    at.arrive(size);
    std::array<char, 1000> into{};
    completion read;
    at.server->async_read_some(asio::buffer(into), read.handler());
    REQUIRE(at.server_until([&] { return read.done; }));
    CHECK_FALSE(read.ec);
    CHECK(std::string(into.data(), read.bytes) == said);
    CHECK_FALSE(at.server->buffered());
}

TEST_CASE("a read that takes less than there is says so, and the rest needs no socket") {
    connection at;
    at.establish();
    at.peer->say("hello ");
    at.peer->say("world");
    const auto size = at.peer->unsent.size();
    at.peer->send();
    at.arrive(size);
    std::array<char, 3> into{};
    completion first;
    at.server->async_read_some(asio::buffer(into), first.handler());
    REQUIRE(at.server_until([&] { return first.done; }));
    CHECK(first.bytes == 3);
    CHECK(at.server->buffered());
    CHECK(unread(at.server->socket()) == 0);
    std::string rest(100, '\0');
    completion second;
    at.server->async_read_some(asio::buffer(rest), second.handler());
    CHECK_FALSE(second.done); // never within the call that started it
    REQUIRE(at.server_until([&] { return second.done; }));
    CHECK(rest.substr(0, second.bytes) == "lo world");

    std::array<char, 10> none{};
    error_code ec;
    CHECK(at.server->read_now(none, ec) == 0);
    CHECK(ec == asio::error::would_block);
}

TEST_CASE("records cut anywhere are put together again") {
    connection at;
    at.establish();
    std::string heard;
    std::array<char, 64> into{};
    for (const std::string text : {"first", "second", "third"}) {
        at.peer->say(text);
        completion read;
        at.server->async_read_some(asio::buffer(into), read.handler());
        while (at.peer->unsent.size() > 1) {
            at.peer->send(1);
            at.io.restart();
            at.io.poll();
            REQUIRE_FALSE(read.done); // a record is whole or nothing
        }
        at.peer->send();
        REQUIRE(at.server_until([&] { return read.done; }));
        heard.append(into.data(), read.bytes);
    }
    CHECK(heard == "firstsecondthird");
}

TEST_CASE("Asio's composed operations over sequences of buffers, empty ones among them") {
    connection at;
    at.establish();
    std::string one(4, '\0'), two(5, '\0'), empty;
    const std::array<asio::mutable_buffer, 4> into{asio::buffer(empty), asio::buffer(one), asio::buffer(empty),
                                                   asio::buffer(two)};
    completion read;
    asio::async_read(*at.server, into, read.handler());
    at.peer->say("scored");
    at.peer->say("!!!");
    REQUIRE(at.until([&] { return read.done; }));
    CHECK_FALSE(read.ec);
    CHECK(read.bytes == 9);
    CHECK(one + two == "scored!!!");

    at.peer->say("x");
    completion some; // without the composed operation's own care for empty buffers
    at.server->async_read_some(into, some.handler());
    REQUIRE(at.until([&] { return some.done; }));
    CHECK(some.bytes == 1);
    CHECK(one == "xcor");

    const std::string left = "left ", right = "right";
    const std::array<asio::const_buffer, 4> from{asio::buffer(empty), asio::buffer(left), asio::buffer(empty),
                                                 asio::buffer(right)};
    completion written;
    asio::async_write(*at.server, from, written.handler());
    REQUIRE(at.until([&] { return written.done && at.peer->heard.size() == 10; }));
    CHECK(written.bytes == 10);
    CHECK(at.peer->heard == "left right");
    completion wrote_some;
    at.server->async_write_some(from, wrote_some.handler());
    REQUIRE(at.until([&] { return wrote_some.done && at.peer->heard.size() == 15; }));
    CHECK(wrote_some.bytes == 5);
}

TEST_CASE("operations on nothing complete with nothing, and not inline") {
    connection at;
    at.establish();
    completion read, none_read, written;
    std::string empty;
    at.server->async_read_some(asio::buffer(empty), read.handler());
    CHECK_FALSE(read.done);
    REQUIRE(at.server_until([&] { return read.done; }));
    CHECK_FALSE(read.ec);
    CHECK(read.bytes == 0);
    at.server->async_read_some(std::vector<asio::mutable_buffer>{}, none_read.handler());
    REQUIRE(at.server_until([&] { return none_read.done; }));
    CHECK_FALSE(none_read.ec);
    at.server->async_write_some(asio::buffer(empty), written.handler());
    CHECK_FALSE(written.done);
    REQUIRE(at.server_until([&] { return written.done; }));
    CHECK_FALSE(written.ec);
    CHECK(written.bytes == 0);
    const auto heard = at.peer->heard.size();
    at.peer->receive();
    CHECK(at.peer->heard.size() == heard);
}

TEST_CASE("a full socket takes a part, and the rest goes on from another place") {
    connection at;
    at.establish();
    set_option(at.server->socket(), asio::socket_base::send_buffer_size(16384));
    const auto bytes = pattern(8 << 20, 1);
    error_code ec;
    const auto sent = at.server->write_now(bytes, ec);
    CHECK_FALSE(ec);
    CHECK(sent > 0);
    REQUIRE(sent < bytes.size());
    CHECK(at.server->write_now(std::string_view(bytes).substr(sent), ec) == 0); // still full, and no error
    CHECK_FALSE(ec);
    const std::string moved(bytes.begin() + static_cast<std::ptrdiff_t>(sent), bytes.end());
    completion rest;
    asio::async_write(*at.server, asio::buffer(moved), rest.handler());
    at.io.restart();
    at.io.poll();
    CHECK_FALSE(rest.done);
    REQUIRE(at.until([&] { return rest.done && at.peer->heard.size() >= bytes.size(); }));
    CHECK_FALSE(rest.ec);
    CHECK(rest.bytes == moved.size());
    CHECK((at.peer->heard == bytes));
}

TEST_CASE("the records of one write leave in one segment") {
    connection at;
    at.establish();
    const int socket = at.server->socket().native_handle();
    const auto bytes = pattern(20 * 1024, 1); // two records, together less than half of the peer's first window
    const auto before = tests::data_segments_sent(socket);
    error_code ec;
    CHECK(at.server->write_now(bytes, ec) == bytes.size());
    CHECK(tests::data_segments_sent(socket) == before + 1);
    CHECK(at.server->write_now("and one that nothing follows", ec) == 28);
    CHECK(tests::data_segments_sent(socket) == before + 2);
    REQUIRE(at.until([&] { return at.peer->heard.size() >= bytes.size() + 28; }));
    CHECK((at.peer->heard == bytes + "and one that nothing follows"));
}

TEST_CASE("a record that the kernel holds back for the next one leaves though that finds the socket full") {
    connection at;
    at.establish();
    set_option(at.server->socket(), asio::socket_base::send_buffer_size(1)); // as little as there can be
    const auto bytes = pattern(64 * 1024, 1);
    error_code ec;
    std::size_t sent = 0;
    while (sent < bytes.size()) { // each time as much as the socket takes
        const auto now = at.server->write_now(std::string_view(bytes).substr(sent), ec);
        REQUIRE_FALSE(ec);
        sent += now;
        if (now == 0) REQUIRE(at.until([&] { return at.peer->heard.size() >= sent; }));
    }
    REQUIRE(at.until([&] { return at.peer->heard.size() >= bytes.size(); }));
    CHECK((at.peer->heard == bytes));
}

TEST_CASE("what the peer's system has taken is known while a record is half written") {
    connection at;
    at.establish();
    CHECK(at.server_until([&] { return at.server->taken() > 200; })); // the handshake
    const auto before = at.server->taken();
    set_option(at.server->socket(), asio::socket_base::send_buffer_size(16384));
    const auto bytes = pattern(8 << 20, 1);
    error_code ec;
    const auto sent = at.server->write_now(bytes, ec);
    REQUIRE(sent < bytes.size());
    CHECK(at.server_until([&] { return at.server->taken() > before; }));
    const auto taken = at.server->taken();
    REQUIRE(at.until([&] { return at.server->taken() > taken; })); // nothing more was written
    CHECK(at.until([&] { return at.peer->heard.size() >= sent; }));
    CHECK(
        at.server_until([&] { return at.server->taken() > before + sent; })); // records are larger than what they bear
}

TEST_CASE("close_notify is the end, its absence a truncation") {
    std::array<char, 16> into{};
    SECTION("orderly, behind data") {
        connection at;
        at.establish();
        at.peer->say("last");
        at.peer->say_goodbye();
        completion read, end, again;
        at.server->async_read_some(asio::buffer(into), read.handler());
        REQUIRE(at.until([&] { return read.done; }));
        CHECK(std::string(into.data(), read.bytes) == "last");
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.until([&] { return end.done; }));
        CHECK(end.ec == asio::error::eof);
        CHECK(end.bytes == 0);
        at.server->async_read_some(asio::buffer(into), again.handler());
        REQUIRE(at.until([&] { return again.done; }));
        CHECK(again.ec == asio::error::eof);
    }
    SECTION("cut off between records") {
        connection at;
        at.establish();
        at.peer->say("last");
        at.peer->send();
        at.peer->socket().close();
        completion read, end;
        at.server->async_read_some(asio::buffer(into), read.handler());
        REQUIRE(at.server_until([&] { return read.done; }));
        CHECK(std::string(into.data(), read.bytes) == "last");
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.server_until([&] { return end.done; }));
        CHECK(end.ec == asio::error::connection_reset);
    }
    SECTION("cut off within a record") {
        connection at;
        at.establish();
        at.peer->say("last");
        at.peer->send(10);
        at.peer->socket().close();
        completion end;
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.server_until([&] { return end.done; }));
        CHECK(end.ec == asio::error::connection_reset);
        CHECK(end.bytes == 0);
    }
    SECTION("reset") {
        connection at;
        at.establish();
        at.peer->socket().set_option(asio::socket_base::linger(true, 0));
        at.peer->socket().close();
        completion end;
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.server_until([&] { return end.done; }));
        CHECK(end.ec == asio::error::connection_reset);
        error_code ec;
        CHECK(at.server->write_now("x", ec) == 0);
        CHECK(ec);
    }
    SECTION("a record that was tampered with, behind a good one") {
        connection at;
        at.establish();
        at.peer->say("good");
        at.peer->say("bad");
        at.peer->unsent.back() ^= 1;
        const auto size = at.peer->unsent.size();
        at.peer->send();
        at.arrive(size);
        completion read, end;
        at.server->async_read_some(asio::buffer(into), read.handler());
        REQUIRE(at.until([&] { return read.done; }));
        CHECK(std::string(into.data(), read.bytes) == "good");
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.until([&] { return end.done; }));
        CHECK(end.ec == make_error_code(boost::system::errc::protocol_error));
    }
    SECTION("a record that was tampered with") {
        connection at;
        at.establish();
        at.peer->say("last");
        at.peer->unsent.back() ^= 1;
        completion end;
        at.server->async_read_some(asio::buffer(into), end.handler());
        REQUIRE(at.until([&] { return end.done; }));
        CHECK(end.ec == make_error_code(boost::system::errc::protocol_error));
        CHECK(end.bytes == 0);
        completion again; // it stays so
        at.server->async_read_some(asio::buffer(into), again.handler());
        REQUIRE(at.until([&] { return again.done; }));
        CHECK(again.ec == end.ec);
        error_code ec;
        CHECK(at.server->write_now("x", ec) == 0);
        CHECK(ec == end.ec);
        at.server->close_notify(); // after a failure none is sent
        at.server->socket().close();
        REQUIRE(at.until([&] { return at.peer->saw_end; }));
        CHECK_FALSE(at.peer->saw_close_notify);
        CHECK(ERR_peek_error() == 0);
    }
}

TEST_CASE("our own close_notify reaches the client, behind what was written") {
    connection at;
    at.establish();
    error_code ec;
    CHECK(at.server->write_now("bye", ec) == 3);
    at.server->close_notify();
    at.server->socket().close();
    REQUIRE(at.until([&] { return at.peer->saw_end; }));
    CHECK(at.peer->heard == "bye");
    CHECK(at.peer->saw_close_notify);

    connection cut;
    cut.establish();
    CHECK(cut.server->write_now("half a rep", ec) == 10);
    cut.server->socket().close();
    REQUIRE(cut.until([&] { return cut.peer->saw_end; }));
    CHECK(cut.peer->heard == "half a rep");
    CHECK_FALSE(cut.peer->saw_close_notify);
}

TEST_CASE("close_notify before the handshake is over sends nothing") {
    connection at;
    at.begin_handshake();
    at.server->close_notify();
    at.server->socket().close();
    REQUIRE(at.server_until([&] { return at.outcome.has_value(); }));
    std::array<char, 16> into{};
    error_code ec = asio::error::would_block;
    std::size_t n = 0;
    while (ec == asio::error::would_block) n = at.peer->socket().read_some(asio::buffer(into), ec);
    CHECK(n == 0);
    CHECK(ec == asio::error::eof);
}

TEST_CASE("a cancelled read breaks nothing, not even within a record") {
    connection at;
    at.establish();
    std::array<char, 64> into{};
    at.peer->say("hello");
    at.peer->send(7);
    for (int i = 0; i < 3; ++i) {
        completion read;
        at.server->async_read_some(asio::buffer(into), read.handler());
        if (i == 1) REQUIRE(at.server_until([&] { return unread(at.server->socket()) == 0; }));
        // As the wheel does: again and again, for a read that has just come back from the socket is not waiting.
        REQUIRE(at.server_until([&] {
            at.server->socket().cancel();
            return read.done;
        }));
        CHECK(read.ec == asio::error::operation_aborted);
        CHECK(read.bytes == 0);
    }
    completion read;
    at.server->async_read_some(asio::buffer(into), read.handler());
    REQUIRE(at.until([&] { return read.done; }));
    CHECK_FALSE(read.ec);
    CHECK(std::string(into.data(), read.bytes) == "hello");
}

TEST_CASE("a cancelled write can be gone on with") {
    connection at;
    at.establish();
    set_option(at.server->socket(), asio::socket_base::send_buffer_size(16384));
    const auto bytes = pattern(8 << 20, 2);
    error_code ec;
    auto sent = at.server->write_now(bytes, ec);
    REQUIRE(sent < bytes.size());
    completion cancelled;
    at.server->async_write_some(asio::buffer(bytes.data() + sent, bytes.size() - sent), cancelled.handler());
    REQUIRE(at.server_until([&] {
        at.server->socket().cancel();
        return cancelled.done;
    }));
    CHECK(cancelled.ec == asio::error::operation_aborted);
    CHECK(cancelled.bytes == 0);
    completion rest;
    asio::async_write(*at.server, asio::buffer(bytes.data() + sent, bytes.size() - sent), rest.handler());
    REQUIRE(at.until([&] { return rest.done && at.peer->heard.size() >= bytes.size(); }));
    CHECK_FALSE(rest.ec);
    CHECK((at.peer->heard == bytes));
}

TEST_CASE("buffers given back are no loss, whatever stands in them") {
    connection at;
    at.establish();
    at.server->release_buffers();
    std::array<char, 64> into{};
    for (int i = 0; i < 3; ++i) {
        at.peer->say("ping");
        completion read, written;
        at.server->async_read_some(asio::buffer(into), read.handler());
        REQUIRE(at.until([&] { return read.done; }));
        REQUIRE(std::string(into.data(), read.bytes) == "ping");
        at.server->release_buffers();
        asio::async_write(*at.server, asio::buffer("pong", 4), written.handler());
        REQUIRE(at.until([&] { return written.done && at.peer->heard.size() == 4; }));
        at.peer->heard.clear();
        at.server->release_buffers();
    }

    at.peer->say("one"); // while a record waits that nobody has looked at
    at.peer->say("two");
    const auto both = at.peer->unsent.size();
    at.peer->send();
    at.arrive(both);
    completion one, two;
    at.server->async_read_some(asio::buffer(into.data(), 3), one.handler());
    REQUIRE(at.server_until([&] { return one.done; }));
    REQUIRE(at.server->buffered());
    at.server->release_buffers();
    at.server->async_read_some(asio::buffer(into.data() + 3, 10), two.handler());
    REQUIRE(at.server_until([&] { return two.done; }));
    CHECK(std::string(into.data(), 3 + two.bytes) == "onetwo");

    at.peer->say("half and half"); // while half a record waits
    const auto whole = at.peer->unsent.size();
    at.peer->send(whole / 2);
    at.arrive(whole / 2);
    completion aborted, read, rest;
    at.server->async_read_some(asio::buffer(into), aborted.handler());
    REQUIRE(at.server_until([&] { return unread(at.server->socket()) == 0; }));
    REQUIRE(at.server_until([&] {
        at.server->socket().cancel();
        return aborted.done;
    }));
    at.server->release_buffers();
    at.server->async_read_some(asio::buffer(into.data(), 5), read.handler());
    REQUIRE(at.until([&] { return read.done; }));
    at.server->release_buffers(); // while half of its plaintext waits
    REQUIRE(at.server->buffered());
    at.server->async_read_some(asio::buffer(into.data() + read.bytes, 50), rest.handler());
    REQUIRE(at.until([&] { return rest.done; }));
    CHECK(std::string(into.data(), read.bytes + rest.bytes) == "half and half");
}

namespace {

base::task<> receive_all(tls::stream& from, std::string& into, std::size_t size, error_code& ec) {
    std::vector<char> room(50000);
    while (into.size() < size && !ec) {
        const auto [failed, n] = co_await from.async_read_some(asio::buffer(room), base::awaited);
        into.append(room.data(), n);
        ec = failed;
    }
}

base::task<> send_all(tls::stream& to, const std::string& bytes, error_code& ec) {
    const auto [failed, n] = co_await asio::async_write(to, asio::buffer(bytes), base::awaited);
    ec = n == bytes.size() ? failed : error_code(asio::error::message_size);
}

} // namespace

TEST_CASE("large transfers both ways at once arrive byte for byte") {
    for (const bool bulk : {false, true}) {
        CAPTURE(bulk);
        connection at;
        at.establish();
        if (bulk) at.server->read_in_bulk(1 << 20);
        const auto up = pattern(3 << 20, 3), down = pattern(5 << 20, 4);
        std::string received;
        error_code read_failed, write_failed;
        base::gate inside;
        base::spawn(at.io.get_executor(), inside, receive_all(*at.server, received, up.size(), read_failed));
        base::spawn(at.io.get_executor(), inside, send_all(*at.server, down, write_failed));
        std::mt19937 random(5);
        std::size_t said = 0;
        REQUIRE(at.until([&] {
            if (said < up.size() && at.peer->unsent.size() < 100000) {
                const auto next = std::min<std::size_t>(up.size() - said, 1 + random() % 40000);
                at.peer->say(std::string_view(up).substr(said, next));
                said += next;
            }
            return inside.inside() == 0 && at.peer->heard.size() >= down.size();
        }));
        CHECK_FALSE(read_failed);
        CHECK_FALSE(write_failed);
        CHECK((received == up));
        CHECK((at.peer->heard == down));
    }
}
