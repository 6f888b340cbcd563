#include "auth/keys.hpp"
#include "support/allocations.hpp"

#include <catch2/catch.hpp>

#include <openssl/crypto.h>

namespace {

using namespace scoregate;
using auth::key_name;

const std::string key_a(43, 'a'), key_b(32, 'b'), longest(512, 'c');

std::string hex(const auth::sha256_digest& digest) {
    std::string text;
    for (const unsigned each : digest) {
        text += "0123456789abcdef"[each / 16];
        text += "0123456789abcdef"[each % 16];
    }
    return text;
}

} // namespace

TEST_CASE("SHA-256 as in FIPS 180-4's examples, of two parts as of one text") {
    CHECK(hex(auth::sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex(auth::sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex(auth::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(auth::sha256("a", "bc") == auth::sha256("abc"));
    CHECK(auth::sha256("", "abc") == auth::sha256("abc"));
}

TEST_CASE("digests are equal when every byte is") {
    const auto digest = auth::sha256("abc");
    CHECK(auth::equal(digest, digest));
    for (std::size_t i = 0; i < digest.size(); ++i) {
        CAPTURE(i);
        auto other = digest;
        other[i] ^= 1;
        CHECK_FALSE(auth::equal(digest, other));
    }
}

TEST_CASE("either key is accepted, and nothing else") {
    struct row {
        auth::service_keys keys;
        std::string presented;
        key_name name;
    };
    const auth::service_keys one(key_a), both(key_a, key_b), exchanged(key_b, key_a), same(key_a, key_a);
    auto first_differs = key_a, last_differs = key_a, upper = key_a;
    first_differs.front() = last_differs.back() = 'x';
    for (auto& c : upper) c = 'A';
    for (const auto& row : std::vector<row>{
             {one, key_a, key_name::primary},
             {one, key_b, key_name::none},
             {both, key_a, key_name::primary},
             {both, key_b, key_name::secondary},
             {exchanged, key_a, key_name::secondary},
             {exchanged, key_b, key_name::primary},
             {same, key_a, key_name::primary},
             {same, key_b, key_name::none},
             {auth::service_keys(key_a, longest), longest, key_name::secondary},
             {auth::service_keys(key_a, longest), longest + "c", key_name::none},
             {both, first_differs, key_name::none},
             {both, last_differs, key_name::none},
             {both, upper, key_name::none},
             {both, key_a + "a", key_name::none},
             {both, key_a.substr(1), key_name::none},
             {both, key_a + key_b, key_name::none},
             {both, key_a + '\n', key_name::none},
             {both, "", key_name::none},
             {both, "a", key_name::none},
             {one, "", key_name::none},
             {both, std::string(100000, 'a'), key_name::none},
         }) {
        CAPTURE(row.presented, row.presented.size());
        CHECK(to_string(row.keys.match(row.presented)) == to_string(row.name));
    }
}

TEST_CASE("keys have stable names") {
    CHECK(to_string(key_name::none) == "none");
    CHECK(to_string(key_name::primary) == "primary");
    CHECK(to_string(key_name::secondary) == "secondary");
}

TEST_CASE("nothing of a key is kept, only what tells it from others") {
    const std::string primary = "Aq3-first-key-in-clear-text-0123456789",
                      secondary = "Zw9-other-key-in-clear-text-9876543210";
    const auth::service_keys keys(primary, secondary);
    REQUIRE(keys.match(primary) == key_name::primary);
    const std::string_view memory(reinterpret_cast<const char*>(&keys), sizeof keys);
    for (std::size_t i = 0; i + 4 <= primary.size(); ++i) {
        CHECK(memory.find(primary.substr(i, 4)) == std::string_view::npos);
        CHECK(memory.find(secondary.substr(i, 4)) == std::string_view::npos);
    }
}

TEST_CASE("matching a key allocates nothing, in OpenSSL neither") {
    const auth::service_keys keys(key_a, longest);
    const std::string wrong(40, 'w');

    const auto before = tests::allocations_here();
    const std::string on_the_heap(100, 'x'); // shows that the counts work
    OPENSSL_free(OPENSSL_malloc(1));
    const auto counting = tests::allocations_here();
    unsigned matched = 0;
    for (int i = 0; i < 100; ++i)
        for (const std::string_view presented :
             {std::string_view(key_a), std::string_view(longest), std::string_view(wrong)})
            matched += keys.match(presented) != key_name::none ? 1 : 0;
    const auto after = tests::allocations_here();
    CHECK(counting.ours == before.ours + (tests::counts_ours ? 1 : 0));
    CHECK(counting.openssl == before.openssl + 1);
    CHECK(after == counting);
    CHECK(matched == 200);
}
