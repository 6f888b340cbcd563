#include "proxy/challenge.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace scoregate::proxy;

namespace {

std::string_view token(const std::string& rest) {
    static std::string path;
    path = "/.well-known/acme-challenge/" + rest;
    return challenge_token(path);
}

} // namespace

TEST_CASE("a token is what base64url has, and nothing else is a challenge") {
    CHECK(token("AZaz09-_") == "AZaz09-_");
    CHECK(token(std::string(128, 'a')).size() == 128);
    CHECK(token("").empty());
    CHECK(token(std::string(129, 'a')).empty());
    for (const auto* const other : {".", "..", "a.b", "a/b", "../x", "a%2e", "a=", "a b", "\xc3\xa4"})
        CHECK(token(other).empty());
    CHECK(challenge_token("/.well-known/acme-challenge").empty());
    CHECK(challenge_token("/x/.well-known/acme-challenge/abc").empty());
    CHECK(challenge_token("/.well-known/ACME-challenge/abc").empty());
}

TEST_CASE("a key authorization is the token, a dot and a thumbprint") {
    CHECK(is_key_authorization("abc.x-_9", "abc"));
    CHECK_FALSE(is_key_authorization("abc", "abc"));
    CHECK_FALSE(is_key_authorization("abc.", "abc"));
    CHECK_FALSE(is_key_authorization("abcd.x", "abc"));
    CHECK_FALSE(is_key_authorization("abc.x y", "abc"));
    CHECK_FALSE(is_key_authorization("abc.x\n", "abc"));
    CHECK_FALSE(is_key_authorization("-----BEGIN PRIVATE KEY-----", "abc"));
    CHECK_FALSE(is_key_authorization("abc." + std::string(longest_challenge, 'x'), "abc"));
}
