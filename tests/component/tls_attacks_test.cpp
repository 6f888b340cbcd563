// Handshakes and records as no honest client sends them: each ends with the alert of RFC 5246 7.2.2 that reaches the
// client, leaves nothing behind, and disturbs nobody.
#include "component/fixture.hpp"
#include "support/tls_tamperer.hpp"

#include <functional>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

constexpr int fatal = SSL3_AL_FATAL, warning = SSL3_AL_WARNING;
constexpr tls_alert none{};
constexpr tls_alert decode_error{fatal, SSL_AD_DECODE_ERROR}, unexpected_message{fatal, SSL_AD_UNEXPECTED_MESSAGE},
    bad_record_mac{fatal, SSL_AD_BAD_RECORD_MAC}, record_overflow{fatal, SSL_AD_RECORD_OVERFLOW},
    illegal_parameter{fatal, SSL_AD_ILLEGAL_PARAMETER}, protocol_version{fatal, SSL_AD_PROTOCOL_VERSION},
    no_renegotiation{warning, SSL_AD_NO_RENEGOTIATION};
constexpr tls_alert handshake_failure{fatal, SSL_AD_HANDSHAKE_FAILURE}; // SSL 3.0 has no protocol_version
// OpenSSL 3.0 says so of a record that is shorter than nonce and tag together, where bad_record_mac is meant.
constexpr tls_alert too_short{fatal, SSL_AD_INTERNAL_ERROR};

using namespace std::string_literals;

// Where the fields of a ClientHello in its record are: header 5, type and size 4, version 2, random 32.
constexpr std::size_t at_version = 9, at_session_size = 43;

std::string with(std::string bytes, std::size_t at, std::string_view instead) {
    return bytes.replace(at, instead.size(), instead);
}
std::string flipped(std::string bytes, std::size_t at) {
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    return bytes;
}
std::string in_one(const std::vector<tls_record>& all) {
    std::string bytes;
    for (const auto& each : all) bytes += each.bytes();
    return bytes;
}
std::string bytes_of(content type, std::string body) { return tls_record{type, std::move(body)}.bytes(); }

std::size_t at_extensions(const std::string& hello) { // of their size
    const auto number = [&hello](std::size_t at) { return static_cast<unsigned char>(hello[at]); };
    const auto at_ciphers = at_session_size + 1 + number(at_session_size);
    const auto at_compression = at_ciphers + 2 + number(at_ciphers) * 256U + number(at_ciphers + 1);
    return at_compression + 1 + number(at_compression);
}

// What is in `hello`'s record, in records of `size` bytes (RFC 5246 6.2.1 lets a message be in several).
std::string in_fragments(const std::string& hello, std::size_t size) {
    std::string bytes;
    for (std::size_t at = 5; at < hello.size(); at += size)
        bytes += bytes_of(content::handshake, hello.substr(at, size));
    return bytes;
}

// A hello as SSL 2.0 has it (RFC 5246 E.2), for that version of TLS.
std::string old_hello(std::string_view version) {
    const std::string body = "\x01"s + std::string(version) + "\x00\x06\x00\x00\x00\x10"s +
                             "\x00\xC0\x2B\x00\xC0\x2F"s + std::string(16, 'r');
    return std::string{static_cast<char>(0x80), static_cast<char>(body.size())} + body;
}

struct attack {
    const char* what;
    std::function<void(tls_tamperer&)> make;
    tls_alert told;
};

const std::vector<attack> attacks{
    // ---- what is no ClientHello, or not a whole one
    {"nothing but the end of the stream", [](auto& c) { c.half_close(); }, none},
    {"half a hello, then the end of the stream",
     [](auto& c) {
         c.send(c.hello().substr(0, c.hello().size() / 2));
         c.half_close();
     },
     none},
    {"garbage", [](auto& c) { c.send(std::string(300, '\xA5')); }, protocol_version},
    {"zeroes", [](auto& c) { c.send(std::string(300, '\0')); }, protocol_version},
    {"a hello of SSL 2.0", [](auto& c) { c.send(old_hello("\x00\x02"s)); }, protocol_version},
    {"a hello in the form of SSL 2.0 for TLS 1.0", [](auto& c) { c.send(old_hello("\x03\x01"s)); }, protocol_version},
    {"a record of an unknown type", [](auto& c) { c.send("\x19\x03\x03\x00\x01\x00"s); }, unexpected_message},
    {"a heartbeat", [](auto& c) { c.send("\x18\x03\x03\x00\x03\x01\x40\x00"s); }, unexpected_message},
    {"a record larger than any may be", [](auto& c) { c.send("\x16\x03\x03\x48\x01"s + std::string(0x4801, 'x')); },
     record_overflow},
    {"a record with a plaintext larger than any may be",
     [](auto& c) {
         c.send("\x16\x03\x03\x40\x01"s + c.hello().substr(5) + std::string(0x4001 - c.hello().size() + 5, 'x'));
     },
     record_overflow},
    {"records without content",
     [](auto& c) {
         for (int i = 0; i < 40; ++i) c.send(bytes_of(content::handshake, ""));
     },
     unexpected_message},
    {"warnings without end",
     [](auto& c) {
         for (int i = 0; i < 40; ++i) c.send(bytes_of(content::alert, "\x01\x5A"s));
     },
     unexpected_message},
    {"a fatal alert first", [](auto& c) { c.send(bytes_of(content::alert, "\x02\x28"s)); }, unexpected_message},
    {"an alert of one byte", [](auto& c) { c.send(bytes_of(content::alert, "\x02"s)); }, unexpected_message},
    {"a message larger than any may be",
     [](auto& c) { c.send(bytes_of(content::handshake, "\x01\xFF\xFF\xFF"s + std::string(100, 'x'))); },
     illegal_parameter},
    // ---- versions
    {"TLS 1.1 and nothing newer", [](auto& c) { c.send(with(c.hello(), at_version, "\x03\x02")); }, protocol_version},
    {"TLS 1.0 and nothing newer", [](auto& c) { c.send(with(c.hello(), at_version, "\x03\x01")); }, protocol_version},
    {"SSL 3.0 and nothing newer", [](auto& c) { c.send(with(c.hello(), at_version, "\x03\x00"s)); }, handshake_failure},
    {"a record of version 5", [](auto& c) { c.send(with(c.hello(), 1, "\x05")); }, protocol_version},
    // ---- a hello that lies about itself
    {"a session id longer than the hello", [](auto& c) { c.send(with(c.hello(), at_session_size, "\xFF")); },
     decode_error},
    {"a session id longer than any may be", [](auto& c) { c.send(with(c.hello(), at_session_size, "\x21")); },
     decode_error},
    {"extensions longer than the hello", [](auto& c) { c.send(with(c.hello(), at_extensions(c.hello()), "\xFF\xFF")); },
     decode_error},
    {"extensions shorter than they are",
     [](auto& c) { c.send(with(c.hello(), at_extensions(c.hello()), "\x00\x01"s)); }, decode_error},
    {"an extension longer than all of them",
     [](auto& c) { c.send(with(c.hello(), at_extensions(c.hello()) + 4, "\xFF\xFF")); }, decode_error},
    {"an odd number of bytes of ciphers",
     [](auto& c) {
         const auto at = at_session_size + 1U + static_cast<unsigned char>(c.hello()[at_session_size]);
         c.send(flipped(c.hello(), at + 1));
     },
     decode_error},
    {"a hello that ends early",
     [](auto& c) { c.send(bytes_of(content::handshake, handshake_message(1, c.hello().substr(9, 20)))); },
     decode_error},
    // ---- out of order
    {"application data first", [](auto& c) { c.send(bytes_of(content::application_data, "GET / HTTP/1.1\r\n\r\n")); },
     unexpected_message},
    {"ChangeCipherSpec first", [](auto& c) { c.send(bytes_of(content::change_cipher_spec, "\x01")); },
     unexpected_message},
    {"ClientKeyExchange first",
     [](auto& c) { c.send(bytes_of(content::handshake, handshake_message(16, std::string(33, 'k')))); },
     unexpected_message},
    {"Finished first",
     [](auto& c) { c.send(bytes_of(content::handshake, handshake_message(20, std::string(12, 'f')))); },
     unexpected_message},
    {"a ServerHello", [](auto& c) { c.send(bytes_of(content::handshake, handshake_message(2, std::string(40, 's')))); },
     unexpected_message},
    {"the hello once more",
     [](auto& c) {
         c.send(c.hello());
         c.answer();
         c.send(with(c.hello(), 2, "\x03"));
     },
     unexpected_message},
    {"Finished in clear, without ChangeCipherSpec",
     [](auto& c) {
         c.send(c.hello());
         const auto flight = c.answer();
         c.send(flight.at(0).bytes() + bytes_of(content::handshake, handshake_message(20, std::string(12, 'f'))));
     },
     unexpected_message},
    {"ChangeCipherSpec before ClientKeyExchange",
     [](auto& c) {
         c.send(c.hello());
         const auto flight = c.answer();
         c.send(flight.at(1).bytes() + flight.at(0).bytes() + flight.at(2).bytes());
     },
     unexpected_message},
    {"ChangeCipherSpec twice",
     [](auto& c) {
         c.send(c.hello());
         const auto flight = c.answer();
         c.send(flight.at(0).bytes() + flight.at(1).bytes() + flight.at(1).bytes());
     },
     too_short},
    {"a certificate that nobody has asked for",
     [](auto& c) {
         c.send(c.hello());
         c.answer();
         c.send(bytes_of(content::handshake, handshake_message(11, "\x00\x00\x00"s)));
     },
     unexpected_message},
    {"application data before Finished",
     [](auto& c) {
         c.send(c.hello());
         const auto flight = c.answer();
         c.send(flight.at(0).bytes() + bytes_of(content::application_data, "GET / HTTP/1.1\r\n\r\n"));
     },
     unexpected_message},
    // ---- altered
    {"another key than was agreed on",
     [](auto& c) {
         c.send(c.hello());
         auto flight = c.answer();
         flight.at(0).body = flipped(flight.at(0).body, 20);
         c.send(in_one(flight));
     },
     bad_record_mac},
    {"a key of no size",
     [](auto& c) {
         c.send(c.hello());
         c.answer();
         c.send(bytes_of(content::handshake, handshake_message(16, "\x00"s)));
     },
     illegal_parameter},
    {"a Finished that was altered",
     [](auto& c) {
         c.send(c.hello());
         auto flight = c.answer();
         flight.at(2).body = flipped(flight.at(2).body, 15);
         c.send(in_one(flight));
     },
     bad_record_mac},
    {"a fatal alert in the middle",
     [](auto& c) {
         c.send(c.hello());
         c.answer();
         c.send(bytes_of(content::alert, "\x02\x2A"s));
     },
     none},
    {"the end of the stream in the middle",
     [](auto& c) {
         c.send(c.hello());
         c.answer();
         c.half_close();
     },
     none},
    // ---- once it stands
    {"a record that was altered",
     [](auto& c) {
         c.finish();
         c.send(flipped(c.seal("GET / HTTP/1.1\r\n"), 20));
     },
     bad_record_mac},
    {"a record twice",
     [](auto& c) {
         c.finish();
         const auto record = c.seal("GET / HTTP/1.1\r\n");
         c.send(record + record);
     },
     bad_record_mac},
    {"records in another order",
     [](auto& c) {
         c.finish();
         const auto first = c.seal("GET / "), second = c.seal("HTTP/1.1\r\n");
         c.send(second + first);
     },
     bad_record_mac},
    {"encrypted records without content",
     [](auto& c) {
         c.finish();
         for (int i = 0; i < 40; ++i) c.send(c.seal(content::application_data, ""));
     },
     unexpected_message},
    {"encrypted warnings without end",
     [](auto& c) {
         c.finish();
         for (int i = 0; i < 40; ++i) c.send(c.seal(content::alert, "\x01\x5A"s));
     },
     unexpected_message},
    {"Finished once more",
     [](auto& c) {
         c.finish();
         c.send(c.seal(content::handshake, handshake_message(20, std::string(12, 'f'))));
     },
     unexpected_message},
    {"a record in clear",
     [](auto& c) {
         c.finish();
         c.send(bytes_of(content::application_data, std::string(100, 'x')));
     },
     bad_record_mac},
    {"a record larger than any may be, later",
     [](auto& c) {
         c.finish();
         c.send("\x17\x03\x03\x48\x01"s + std::string(0x4801, 'x'));
     },
     record_overflow},
    {"a record of another version",
     [](auto& c) {
         c.finish();
         c.send(with(c.seal("GET / HTTP/1.1\r\n"), 2, "\x01"));
     },
     protocol_version},
    {"ChangeCipherSpec when it stands",
     [](auto& c) {
         c.finish();
         c.send(bytes_of(content::change_cipher_spec, "\x01"));
     },
     too_short},
    {"one wish to renegotiate",
     [](auto& c) {
         c.finish();
         c.send(c.seal(content::handshake, c.hello().substr(5)));
     },
     no_renegotiation},
};

// All that an honest client has said, until its request was answered.
struct recording {
    std::vector<std::string> said; // hello; the rest of its handshake; the request
    tls::ssl_session_ptr session;
};

recording record_client(std::uint16_t port, SSL_SESSION* resumed) {
    tls_tamperer honest(port, "www.contoso.com", resumed);
    recording made;
    honest.finish([&](const std::string& flight) {
        made.said.push_back(flight);
        honest.send(flight);
    });
    made.said.push_back(honest.seal(post("{}")));
    honest.send(made.said.back());
    CHECK(honest.read_text().starts_with("HTTP/1.1 200"));
    made.session.reset(SSL_get1_session(honest.ssl()));
    SSL_set_shutdown(honest.ssl(), SSL_SENT_SHUTDOWN); // as after a close_notify: the session may be used again
    return made;
}

} // namespace

TEST_CASE("what breaks TLS is told so, ends, and leaves nothing behind") {
    one_replica world(over::tls, always(ok("{}")));
    auto& proxy = world.proxy;
    for (const auto& each : attacks) {
        INFO(each.what);
        std::string told;
        bool clean = false;
        {
            tls_tamperer client(proxy.port());
            try {
                each.make(client);
            } catch (const wire_ended&) {
                // The proxy may have had enough before all was sent.
            }
            const auto end = client.end();
            told = to_string(end.alert);
            clean = end.clean;
        }
        CHECK(told == to_string(each.told));
        CHECK(clean); // a reset could take the alert away
        wait_until([&] { return proxy.open_connections() == 0; });
        CHECK(test_client(proxy.port(), proxy.terms()).ask(post("{}")).status() == 200);
        wait_until([&] { return proxy.open_connections() == 0; });
    }
    CHECK(proxy.count("iris", fault::none, 200) == attacks.size()); // and those alone
}

// Each server's random is new, and with it the keys: what was said under others does not decrypt.
TEST_CASE("a handshake that was recorded and is played again ends at its Finished, and nothing behind it is served") {
    one_replica world(over::tls, always(ok("{}")));
    auto& proxy = world.proxy;
    const auto full = record_client(proxy.port(), nullptr);
    const auto resumed = record_client(proxy.port(), full.session.get());
    REQUIRE(proxy.full_handshakes() == 1);
    REQUIRE(proxy.resumed_handshakes() == 1);
    wait_until([&] { return proxy.open_connections() == 0 && proxy.count() == 2; });
    for (const auto* recorded : {&full, &resumed})
        for (const bool in_turn : {true, false}) {
            INFO((recorded == &full ? "full" : "resumed") << (in_turn ? ", in turn" : ", all at once"));
            REQUIRE(recorded->said.size() == 3);
            tls_tamperer thief(proxy.port());
            try {
                thief.send(recorded->said[0]);
                if (in_turn) thief.answer();
                thief.send(recorded->said[1] + recorded->said[2]);
            } catch (const wire_ended&) {
                // The proxy may have had enough before all was sent.
            }
            const auto end = thief.end();
            // Of a resumed session the proxy has begun to encrypt, and whoever has only recorded cannot read why.
            if (recorded == &full) CHECK(to_string(end.alert) == to_string(bad_record_mac));
            CHECK(end.clean);
            wait_until([&] { return proxy.open_connections() == 0; });
        }
    CHECK(proxy.full_handshakes() == 1);
    CHECK(proxy.resumed_handshakes() == 1);
    CHECK(proxy.count() == 2);
    CHECK(world.replica.requests() == 2);
}

TEST_CASE("a client that wishes to renegotiate again and again is answered once") {
    one_replica world(over::tls, always(ok("{}")));
    tls_tamperer client(world.proxy.port());
    client.finish();
    client.send(client.seal(content::application_data, post("{}")));
    CHECK(client.read_text().starts_with("HTTP/1.1 200"));
    std::string flood;
    for (int i = 0; i < 1000; ++i) flood += client.seal(content::handshake, client.hello().substr(5));
    client.send(flood);
    const auto end = client.end();
    CHECK(to_string(end.alert) == to_string(no_renegotiation));
    CHECK(end.alerts == 1);
    CHECK(end.clean);
    wait_until([&] { return world.proxy.open_connections() == 0; });
}

TEST_CASE("odd but honest handshakes are taken") {
    one_replica world(over::tls, always(ok("{}")));
    const auto served = [](tls_tamperer& client) {
        client.send(client.seal(post("{}")));
        return client.read_text().starts_with("HTTP/1.1 200");
    };
    tls_tamperer trickling(world.proxy.port());
    trickling.finish([&](const std::string& flight) {
        for (const char each : flight) trickling.send({&each, 1});
    });
    CHECK(served(trickling));

    tls_tamperer fragmented(world.proxy.port());
    fragmented.finish([&](const std::string& flight) {
        fragmented.send(flight == fragmented.hello() ? in_fragments(flight, 1) : flight);
    });
    CHECK(served(fragmented));
    CHECK(world.proxy.full_handshakes() == 2);
}
