#include "auth/bearer.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace {

using namespace scoregate;
using auth::bearer_fault;

// As text, so that a failure prints both sides.
std::string outcome_of(std::string_view authorization) {
    const auto parsed = auth::parse_bearer(authorization);
    if (const auto* token = std::get_if<std::string_view>(&parsed)) return "token " + std::string(*token);
    return std::get<bearer_fault>(parsed) == bearer_fault::missing ? "missing" : "malformed";
}

} // namespace

TEST_CASE("an Authorization field is a bearer token, malformed or missing") {
    struct row {
        std::string authorization, outcome;
    };
    const std::string longer(5000, 'k');
    for (const auto& row : std::vector<row>{
             {"", "missing"},
             {"Bearer abc", "token abc"},
             {"bearer abc", "token abc"},
             {"BEARER abc", "token abc"},
             {"bEaReR abc", "token abc"},
             {"Bearer    abc", "token abc"}, // 1*SP
             {"Bearer k", "token k"},        // a key of another length is wrong, not malformed
             {"Bearer " + longer, "token " + longer},
             {"Bearer AZaz09-._~+/", "token AZaz09-._~+/"},
             {"Bearer abc=", "token abc="},
             {"Bearer abc==", "token abc=="},
             {"Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "token eyJhbGciOiJSUzI1NiJ9.e30.c2ln"},
             {"Bearer Bearer", "token Bearer"},
             // no token
             {"Bearer", "malformed"},
             {"Bearer ", "malformed"},
             {"Bearer    ", "malformed"},
             {"Bearer =", "malformed"},
             {"Bearer ==", "malformed"},
             {" ", "malformed"},
             // another scheme, or none
             {"Basic dXNlcjpwYXNz", "malformed"},
             {"Bear abc", "malformed"},
             {"Bearers abc", "malformed"},
             {"Bearer: abc", "malformed"},
             {"Bearer=abc", "malformed"},
             {"Bearerabc", "malformed"},
             {"abc", "malformed"},
             {" Bearer abc", "malformed"},
             {"Bearer\tabc", "malformed"},
             {"\x42\xc5\x93"
              "arer abc",
              "malformed"},
             // not one token
             {"Bearer abc def", "malformed"},
             {"Bearer abc ", "malformed"},
             {"Bearer abc, Bearer def", "malformed"},
             {"Bearer abc,def", "malformed"},
             {"Bearer Bearer abc", "malformed"},
             {"Bearer a=c", "malformed"},
             {"Bearer =abc", "malformed"},
             {"Bearer \"abc\"", "malformed"},
             {"Bearer token=\"abc\"", "malformed"},
             {"Bearer <abc>", "malformed"},
             {"Bearer \tabc", "malformed"},
             {"Bearer abc\t", "malformed"},
             {"Bearer abc\r\n", "malformed"},
             {std::string("Bearer ab\0c", 11), "malformed"},
             {"Bearer abc\x80", "malformed"},
             {"Bearer sch\xc3\xb6n", "malformed"},
         }) {
        CAPTURE(row.authorization);
        CHECK(outcome_of(row.authorization) == row.outcome);
    }
}

TEST_CASE("the token is a part of the field, not a copy") {
    const std::string authorization = "Bearer  abc";
    const auto parsed = auth::parse_bearer(authorization);
    REQUIRE(std::holds_alternative<std::string_view>(parsed));
    CHECK(std::get<std::string_view>(parsed).data() == authorization.data() + 8);
}

TEST_CASE("a token is made of the characters of RFC 6750's b64token, and no others") {
    const std::string allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    CHECK_FALSE(auth::is_token(""));
    for (int code = 0; code < 256; ++code) {
        CAPTURE(code);
        const auto c = static_cast<char>(code);
        const bool inside = allowed.find(c) != std::string::npos;
        CHECK(auth::is_token(std::string(1, c)) == inside);
        CHECK(auth::is_token(std::string("a") + c + "b") == inside);
        CHECK(auth::is_token(std::string("ab") + c) == (inside || c == '='));
    }
}
