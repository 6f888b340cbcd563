#define OPENSSL_SUPPRESS_DEPRECATED // RAND_set_rand_method: the one way to say what is random, or that nothing is
#include "auth/bearer.hpp"
#include "auth/generate.hpp"

#include <catch2/catch.hpp>

#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace {

using namespace scoregate;

// While it lives, the random generator yields this byte, or fails.
class scripted_random {
public:
    explicit scripted_random(int byte) {
        byte_ = byte;
        static const RAND_METHOD method{nullptr, fill, nullptr, nullptr, fill, nullptr};
        if (RAND_set_rand_method(&method) != 1) throw std::runtime_error("no other random generator can be set");
    }
    ~scripted_random() { RAND_set_rand_method(nullptr); }
    scripted_random(const scripted_random&) = delete;
    scripted_random& operator=(const scripted_random&) = delete;

    static constexpr int fails = -1;

private:
    static int fill(unsigned char* into, int count) {
        if (byte_ == fails) {
            ERR_raise(ERR_LIB_RAND, ERR_R_INTERNAL_ERROR);
            return 0;
        }
        std::fill_n(into, count, static_cast<unsigned char>(byte_));
        return 1;
    }
    static inline int byte_ = 0;
};

} // namespace

TEST_CASE("a new key is 32 random bytes in base64url without padding") {
    struct row {
        int byte;
        std::string key;
    };
    const auto repeated = [](const std::string& four, const std::string& rest) {
        std::string text;
        for (int i = 0; i < 10; ++i) text += four;
        return text + rest;
    };
    for (const auto& row : std::vector<row>{{0x00, repeated("AAAA", "AAA")},
                                            {0xff, repeated("____", "__8")}, // base64: //8=
                                            {0xfb, repeated("-_v7", "-_s")}, // base64: +/v7 +/s=
                                            {0x55, repeated("VVVV", "VVU")}}) {
        const scripted_random random(row.byte);
        CHECK(auth::generate_key() == row.key);
        CHECK(row.key.size() == 43);
    }
}

TEST_CASE("new keys can be presented, and no two are the same") {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const auto key = auth::generate_key();
        REQUIRE(key.size() == 43);
        REQUIRE(auth::is_token(key));
        REQUIRE(seen.insert(key).second);
    }
}

TEST_CASE("without a random generator there is no key") {
    const scripted_random random(scripted_random::fails);
    CHECK_THROWS_AS(auth::generate_key(), std::runtime_error);
    CHECK(ERR_peek_error() == 0); // nothing is left for the next reader of the queue
}
