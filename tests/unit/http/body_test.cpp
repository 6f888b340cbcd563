#include "http/body.hpp"
#include "support/results.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <optional>
#include <string>
#include <vector>

using namespace scoregate;
using namespace scoregate::http;
using kind = body_framing::kind;

namespace {

struct decoded {
    bool accepted = true;
    bool done = false;
    std::string payload{};
    std::size_t consumed = 0;
    std::string message{};

    friend bool operator==(const decoded&, const decoded&) = default;
};

// Feeds `bytes` in pieces that end at `cuts`; every piece in memory of its own, so that a byte too far is seen.
decoded decode(const body_framing& framing, std::string_view bytes, const std::vector<std::size_t>& cuts = {}) {
    decoded all;
    body_decoder decoder(framing);
    std::size_t at = 0;
    const auto feed = [&](std::size_t end) {
        std::vector<char> piece(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                bytes.begin() + static_cast<std::ptrdiff_t>(end));
        const auto step = decoder.decode(piece.data(), piece.size());
        if (!step) {
            all.accepted = false;
            all.message = step.error().detail;
            return false;
        }
        all.payload.append(piece.data(), step->payload);
        all.consumed += step->consumed;
        at = end;
        return step->consumed == piece.size();
    };
    bool goes_on = true;
    for (const auto cut : cuts)
        if (goes_on) goes_on = feed(cut);
    if (goes_on) feed(bytes.size());
    all.done = decoder.done();
    return all;
}

decoded decode_each_byte(const body_framing& framing, std::string_view bytes) {
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < bytes.size(); ++i) cuts.push_back(i);
    return decode(framing, bytes, cuts);
}

constexpr body_framing chunked{kind::chunked, 0};

} // namespace

TEST_CASE("no body: nothing is taken") {
    body_decoder decoder(body_framing{});
    CHECK(decoder.done());
    CHECK_FALSE(decoder.has_body());
    std::string next = "GET / HTTP/1.1";
    const auto step = decoder.decode(next.data(), next.size());
    REQUIRE(step);
    CHECK(step->consumed == 0);
    CHECK(step->payload == 0);
    CHECK(body_decoder{}.done());
}

TEST_CASE("a body of a length takes that and not a byte more") {
    CHECK(decode({kind::length, 5}, "helloGET /") == decoded{true, true, "hello", 5});
    CHECK(decode({kind::length, 5}, "hell") == decoded{true, false, "hell", 4});
    CHECK(decode_each_byte({kind::length, 5}, "helloGET /") == decoded{true, true, "hello", 5});
    body_decoder decoder(body_framing{kind::length, ~std::uint64_t{0}});
    std::string bytes(10, 'a');
    REQUIRE(decoder.decode(bytes.data(), bytes.size()));
    CHECK(decoder.known_remaining() == ~std::uint64_t{0} - 10);
    CHECK(decoder.has_body());
    CHECK_FALSE(decoder.chunked());
    CHECK_FALSE(decoder.ends_with_stream());
    CHECK(body_decoder(body_framing{kind::length, 0}).done());
}

TEST_CASE("a body until close takes everything and ends with the stream") {
    body_decoder decoder(body_framing{kind::until_close, 0});
    CHECK(decoder.has_body());
    CHECK(decoder.ends_with_stream());
    CHECK(decode({kind::until_close, 0}, "0\r\n\r\nx") == decoded{true, false, "0\r\n\r\nx", 6});
}

TEST_CASE("chunked bodies: what is accepted") {
    struct row {
        std::string bytes, payload;
    };
    const std::vector<row> rows{
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", "abcdef"},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
        {"0005\r\nhello\r\n000\r\n\r\n", "hello"},
        {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"},
        {"5;a=b;c\r\nhello\r\n0;d=\"e f\"\r\n\r\n", "hello"},
        {"5 \t;a\r\nhello\r\n0 ; b\r\n\r\n", "hello"},
        {"5  \r\nhello\r\n0 \r\n\r\n", "hello"}, // padding that some servers write
        {"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other:\r\nContent-Length: 9\r\n\r\n", "hello"},
        {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"},
    };
    for (const auto& row : rows) {
        INFO(row.bytes);
        CHECK(decode(chunked, row.bytes + "NEXT") == decoded{true, true, row.payload, row.bytes.size()});
    }
}

TEST_CASE("chunked bodies: what is refused, whole and byte by byte") {
    const std::vector<std::string> rows{
        "\r\n",
        " 5\r\nhello\r\n",
        "g\r\n",
        "-5\r\n",
        "+5\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\rhello",
        "5\rhello\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5_0\r\n",
        "5,5\r\nhello\r\n",
        "5 5\r\nhello\r\n",
        "5 x\r\nhello\r\n",
        "5;a\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        std::string("5;a\0\r\nhello\r\n", 14),
        "5;\x7f\r\nhello\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\nX: a\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\nX\xe9: a\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        std::string("0\r\nX: \0\r\n\r\n", 12),
        "10000000000000000\r\n",
        "ffffffffffffffffff\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n", // no size needs 17 digits; without an end they would stream for ever
    };
    for (const auto& bytes : rows) {
        INFO(bytes);
        const auto whole = decode(chunked, bytes);
        CHECK_FALSE(whole.accepted);
        CHECK_THAT(whole.message, Catch::Contains("RFC 9112 7.1"));
        const auto pieces = decode_each_byte(chunked, bytes);
        CHECK_FALSE(pieces.accepted);
        CHECK(pieces.message == whole.message);
    }
}

TEST_CASE("the largest chunk size there is") {
    body_decoder decoder(chunked);
    std::string bytes = "FFFFFFFFFFFFFFFF\r\nabc";
    REQUIRE(decoder.decode(bytes.data(), 17)); // its CR too
    CHECK(decoder.known_remaining() == 0);
    const auto step = decoder.decode(bytes.data() + 17, bytes.size() - 17);
    REQUIRE(step);
    CHECK(step->payload == 3);
    CHECK(decoder.known_remaining() == ~std::uint64_t{0} - 3);
    CHECK_FALSE(decoder.done());
}

TEST_CASE("chunked bodies in any pieces are the same body") {
    const std::string bytes = "5;a=b\r\nhello\r\n1\r\n \r\n00c\r\nscored world\r\n0;z\r\nX-T: v\r\nY: w\r\n\r\n";
    const auto whole = decode(chunked, bytes + "NEXT");
    REQUIRE(whole == decoded{true, true, "hello scored world", bytes.size()});
    CHECK(decode_each_byte(chunked, bytes + "NEXT") == whole);
    for (std::size_t first = 0; first <= bytes.size(); ++first)
        for (std::size_t second = first; second <= bytes.size(); ++second)
            REQUIRE(decode(chunked, bytes + "NEXT", {first, second}) == whole);
    for (std::size_t end = 0; end < bytes.size(); ++end) { // cut short: never done, never wrong
        const auto part = decode(chunked, std::string_view(bytes).substr(0, end));
        REQUIRE(part.accepted);
        REQUIRE_FALSE(part.done);
        REQUIRE(part.consumed == end);
    }
}

TEST_CASE("the payload is moved together at the front of what was given") {
    std::string bytes = "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\nrest";
    body_decoder decoder(chunked);
    const auto step = decoder.decode(bytes.data(), bytes.size());
    REQUIRE(step);
    CHECK(bytes.substr(0, step->payload) == "abcdefg");
    CHECK(bytes.substr(step->consumed) == "rest");
}

TEST_CASE("extensions and trailers are bounded together") {
    // Counted is each byte of an extension, and of a trailer line, up to its CR.
    const auto body = [](std::size_t extension, std::size_t trailer) {
        return "1;" + std::string(extension - 1, 'e') + "\r\na\r\n0\r\n" + std::string(trailer - 2, 't') + ":\r\n\r\n";
    };
    CHECK(decode(chunked, body(4096, 4096)).done);
    CHECK_FALSE(decode(chunked, body(4096, 4097)).accepted);
    CHECK_FALSE(decode(chunked, body(4097, 4096)).accepted);
    std::string many;
    for (int i = 0; i < 5000; ++i) many += "1;e\r\na\r\n";
    const auto refused = decode(chunked, many);
    CHECK_FALSE(refused.accepted);
    CHECK_THAT(refused.message, Catch::Contains("8192"));
}

TEST_CASE("a chunk is framed in the room that a buffer leaves") {
    const auto framed = [](std::string_view payload, bool last) {
        std::vector<char> room(10 + payload.size() + 7); // exactly what is promised to suffice
        std::copy(payload.begin(), payload.end(), room.begin() + 10);
        const auto whole = frame_chunk(room.data() + 10, payload.size(), last);
        if (payload.empty()) // what stands there may be the next message: it stays as it is
            CHECK(room == std::vector<char>(room.size()));
        else {
            REQUIRE(whole.data() >= room.data());
            REQUIRE(whole.data() + whole.size() <= room.data() + room.size());
        }
        return std::string(whole);
    };
    CHECK(framed("hello", false) == "5\r\nhello\r\n");
    CHECK(framed("hello", true) == "5\r\nhello\r\n0\r\n\r\n");
    CHECK(framed("", true) == "0\r\n\r\n");
    CHECK(framed("", false).empty());
    CHECK(framed(std::string(0x1f0a, 'x'), false) == "1f0a\r\n" + std::string(0x1f0a, 'x') + "\r\n");

    // What is written is what is read.
    for (const std::size_t size : {1U, 15U, 16U, 255U, 4096U, 131072U}) {
        const std::string payload(size, 'p');
        CHECK(decode(chunked, framed(payload, true)).payload == payload);
    }
}
