#include "auth/base64url.hpp"
#include "support/tokens.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;

TEST_CASE("base64url: one text for any bytes, and back") {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        const auto text = tests::to_base64url(bytes);
        CAPTURE(text);
        CHECK(auth::is_base64url(text));
        CHECK(auth::decode_base64url(text) == bytes);
        bytes += static_cast<char>(i * 7);
    }
}

TEST_CASE("what is not base64url, or would be another text for the same bytes") {
    for (const std::string text : {"A", "AAAAA", "AA==", "AA=", "=", "A+AA", "A/AA", "A AA", "AAA\n", "AB", "AP", "AAB",
                                   "AAAAAAD", "AA.A", "\xff\xff"}) {
        CAPTURE(text);
        CHECK_FALSE(auth::is_base64url(text));
        CHECK_FALSE(auth::decode_base64url(text));
    }
    CHECK_FALSE(auth::is_base64url(std::string_view("A\0AA", 4)));
}
