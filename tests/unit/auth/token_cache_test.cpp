#include "auth/token_cache.hpp"
#include "support/allocations.hpp"
#include "support/tokens.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace scoregate;
using namespace scoregate::tests;
using base::fault;
using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};

const signing_key& key() {
    static const signing_key made(key_kind::ec_p256);
    return made;
}

std::string token_of(int number, std::chrono::seconds life = 1h) {
    auto claims = claims_at(now);
    claims["jti"] = number;
    claims["exp"] = (now + life).time_since_epoch().count();
    return key().sign(claims);
}

// Only a verification allocates, in OpenSSL at least.
bool verified(auth::token_cache& cache, const std::string& token, const auth::token_verifier& by,
              std::chrono::sys_seconds at = now) {
    const auto before = tests::allocations_here();
    const auto said = cache.judge(token, by, at);
    const bool allocated = tests::allocations_here() != before;
    CHECK(said.why == fault::none);
    return allocated;
}

} // namespace

TEST_CASE("a good token is verified once, and finding it again allocates nothing") {
    const auto by = verifier_of({&key()});
    auth::token_cache cache;
    const auto token = token_of(1), other = token_of(2);
    CHECK(verified(cache, token, *by));
    CHECK_FALSE(verified(cache, token, *by));
    CHECK(verified(cache, other, *by));
    CHECK_FALSE(verified(cache, token, *by));
    auth::token_cache another_core;
    CHECK(verified(another_core, token, *by));
}

TEST_CASE("what is refused is not remembered, nor does it make anything else be forgotten") {
    const auto by = verifier_of({&key()});
    auth::token_cache cache;
    const auto token = token_of(1);
    CHECK(verified(cache, token, *by));
    for (int i = 0; i < 3; ++i) {
        CHECK(cache.judge(token + "AAAA", *by, now).why == fault::auth_wrong);
        CHECK(cache.judge("a.b", *by, now).why == fault::auth_malformed);
        CHECK(cache.judge(std::string(100'000, 'a'), *by, now).why == fault::auth_malformed);
    }
    CHECK_FALSE(verified(cache, token, *by));
}

TEST_CASE("a token is known until it expires, the skew included") {
    const auto by = verifier_of({&key()});
    auth::token_cache cache;
    const auto token = token_of(1, 100s);
    CHECK(verified(cache, token, *by));
    CHECK_FALSE(verified(cache, token, *by, now + 159s));
    CHECK(cache.judge(token, *by, now + 160s).why == fault::auth_expired);
    CHECK(cache.judge(token, *by, now + 161s).why == fault::auth_expired);
    CHECK(verified(cache, token, *by)); // forgotten
}

TEST_CASE("another verifier knows nothing of what one has verified") {
    const auto by = verifier_of({&key()}), same = verifier_of({&key()}), wine = verifier_of({&key()}, "wine");
    const signing_key other(key_kind::ec_p256);
    const auto rotated = verifier_of({&other});
    CHECK(by->version() != same->version());
    auth::token_cache cache;
    const auto token = token_of(1);
    CHECK(verified(cache, token, *by));
    CHECK(verified(cache, token, *same));
    CHECK_FALSE(verified(cache, token, *by));
    CHECK(cache.judge(token, *wine, now).why == fault::auth_wrong);
    CHECK(cache.judge(token, *rotated, now).why == fault::auth_wrong);
}

TEST_CASE("the cache is bounded, and the least used go first") {
    const auto by = verifier_of({&key()});
    auth::token_cache cache;
    constexpr int most = auth::token_cache::rows * auth::token_cache::places, count = most * 5 / 4;
    const auto loyal = token_of(-1);
    CHECK(verified(cache, loyal, *by));
    std::vector<std::string> tokens;
    for (int i = 0; i < count; ++i) {
        tokens.push_back(token_of(i));
        verified(cache, tokens.back(), *by);
        CHECK_FALSE(verified(cache, loyal, *by));
    }
    int known = 0;
    for (auto each = tokens.rbegin(); each != tokens.rend(); ++each) {
        const auto before = tests::allocations_here();
        cache.judge(*each, *by, now);
        known += tests::allocations_here() == before ? 1 : 0;
    }
    CHECK(known <= most);
    CHECK(known > most / 2);
}
