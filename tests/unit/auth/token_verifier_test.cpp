#include "auth/token_verifier.hpp"
#include "support/tokens.hpp"

#include <catch2/catch.hpp>

#include <openssl/err.h>

#include <atomic>
#include <thread>

namespace {

using namespace scoregate;
using namespace scoregate::tests;
using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};

const signing_key& rsa() {
    static const signing_key made(key_kind::rsa_2048, "rsa");
    return made;
}
const signing_key& ec() {
    static const signing_key made(key_kind::ec_p256, "ec");
    return made;
}
const auth::token_verifier& verifier() {
    static const auto made = verifier_of({&rsa(), &ec()});
    return *made;
}

// The fault's token; "" for a good one. A refusal must leave nothing behind that TLS on this thread would trip over.
std::string said(const auth::token_verifier& by, std::string_view token, std::chrono::sys_seconds at = now) {
    const auto result = by.verify(token, at);
    CHECK(ERR_peek_error() == 0);
    return result ? "" : std::string(base::token(result.error().kind));
}
std::string said(std::string_view token) { return said(verifier(), token); }

std::string signature_of(const std::string& token) { return token.substr(token.rfind('.') + 1); }
std::string without_signature(const std::string& token) { return token.substr(0, token.rfind('.') + 1); }

} // namespace

TEST_CASE("tokens signed with RS256 or ES256 are good until they expire") {
    for (const auto* key : {&rsa(), &ec()}) {
        INFO(key->kid);
        const auto good = verifier().verify(key->sign(claims_at(now)), now);
        REQUIRE(good.has_value());
        CHECK(good->good_until == now + 3600s + 60s);
        CHECK(said(key->sign({{"alg", key->rsa ? "RS256" : "ES256"}}, claims_at(now))).empty()); // no kid: every key
    }
    const signing_key stranger(key_kind::ec_p256, "stranger");
    CHECK(said(stranger.sign({{"alg", "ES256"}}, claims_at(now))) == "auth_wrong");
    CHECK(said(stranger.sign({{"alg", "ES256"}, {"kid", "ec"}}, claims_at(now))) == "auth_wrong");
    CHECK(said(stranger.sign(claims_at(now))) == "auth_wrong"); // an unknown kid
}

TEST_CASE("a caller is who the token is about, whichever token he has") {
    const auto caller = [](const std::string& subject, int lifetime) {
        auto claims = claims_at(now);
        claims["exp"] = now.time_since_epoch().count() + lifetime;
        if (!subject.empty()) claims["sub"] = subject;
        const auto good = verifier().verify(ec().sign(claims), now);
        REQUIRE(good.has_value());
        CHECK(good->caller >= 4); // where the places of keys end
        return good->caller;
    };
    CHECK(caller("a", 10) == caller("a", 20));
    CHECK(caller("a", 10) != caller("b", 10));
    CHECK(caller("", 10) != caller("", 20)); // about nobody: each token is a caller
}

TEST_CASE("keys of one name are all tried, and every core may do so at once") {
    const signing_key old(key_kind::ec_p256, "same"), fresh(key_kind::ec_p256, "same");
    const auto both = verifier_of({&old, &fresh, &rsa()});
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (const auto* key : {&old, &fresh, &rsa(), &rsa()})
        threads.emplace_back([&good, by = both.get(), token = key->sign(claims_at(now))] {
            for (int i = 0; i < 50; ++i) good += by->verify(token, now).has_value() ? 1 : 0;
        });
    for (auto& each : threads) each.join();
    CHECK(good == 200);
}

TEST_CASE("a changed token is wrong") {
    for (const auto* key : {&rsa(), &ec()}) {
        INFO(key->kid);
        const auto token = key->sign(claims_at(now));
        auto other = claims_at(now);
        other["service"] = "wine";
        const auto elsewhere = key->sign(other);
        CHECK(said(without_signature(token) + signature_of(elsewhere)) == "auth_wrong");
        for (const auto at : {token.find('.') + 10, token.size() - 10}) {
            auto changed = token;
            changed[at] = changed[at] == 'A' ? 'B' : 'A';
            CHECK(said(changed) == "auth_wrong");
        }
        CHECK(said(without_signature(token)) == "auth_wrong");
        CHECK(said(token.substr(0, token.size() - 5) + "A") == "auth_wrong");
        CHECK(said(token + "AAAA") == "auth_wrong");
    }
}

TEST_CASE("algorithms other than RS256 and ES256 are wrong, whatever they are signed with") {
    const auto claims = claims_at(now);
    for (const json& alg :
         {json("none"), json("None"), json("NONE"), json(""), json("HS256"), json("RS384"), json("PS256"),
          json("ES384"), json("rs256"), json("RS256 "), json(nullptr), json(256), json({"RS256"})}) {
        CAPTURE(alg.dump());
        const json header{{"alg", alg}};
        CHECK(said(rsa().sign(header, claims)) == "auth_wrong");
        CHECK(said(ec().sign(header, claims)) == "auth_wrong");
        CHECK(said(without_signature(rsa().sign(header, claims))) == "auth_wrong");
    }
    CHECK(said(rsa().sign(json::object(), claims)) == "auth_wrong");
    // The public key is no secret, in whatever form it is taken for one.
    for (const auto* key : {&rsa(), &ec()})
        for (const auto& secret : {key->public_pem(), key->jwk().dump(), std::string(key->jwk()[key->rsa ? "n" : "x"])})
            for (const auto* alg : {"HS256", "RS256", "ES256"})
                CHECK(said(sign_hs256({{"alg", alg}, {"kid", key->kid}}, claims, secret)) == "auth_wrong");
    // A key for the one algorithm is none for the other.
    CHECK(said(rsa().sign({{"alg", "ES256"}, {"kid", "rsa"}}, claims)) == "auth_wrong");
    CHECK(said(ec().sign({{"alg", "RS256"}, {"kid", "ec"}}, claims)) == "auth_wrong");
}

TEST_CASE("ES256 takes r and s of 32 bytes each, and nothing else") {
    const auto text = without_signature(ec().sign(claims_at(now)));
    const auto plain = std::string_view(text).substr(0, text.size() - 1);
    const auto raw = ec().signature(plain);
    CHECK(said(text + to_base64url(raw)).empty());
    CHECK(said(text + to_base64url(ec().signature(plain, true))) == "auth_wrong"); // DER
    CHECK(said(text + to_base64url(raw + '\0')) == "auth_wrong");                  // cjose alone would take it
    CHECK(said(text + to_base64url(raw.substr(0, 63))) == "auth_wrong");
    const std::string zero(1, '\0');
    CHECK(said(text + to_base64url(zero + raw.substr(0, 32) + zero + raw.substr(32))) == "auth_wrong");
    CHECK(said(text + to_base64url(std::string(64, '\0'))) == "auth_wrong");
}

TEST_CASE("what a header may not say") {
    const auto claims = claims_at(now);
    const auto with = [&](const char* name, const json& value) {
        auto header = rsa().header();
        header[name] = value;
        return said(rsa().sign(header, claims));
    };
    CHECK(with("crit", json::array({"b64"})) == "auth_wrong");
    CHECK(with("crit", json::array()) == "auth_wrong");
    CHECK(with("crit", json::array({"alg"})) == "auth_wrong");
    CHECK(with("kid", 1) == "auth_wrong");
    CHECK(with("kid", nullptr) == "auth_wrong");
    CHECK(with("kid", "RSA") == "auth_wrong");
    CHECK(with("kid", "") == "auth_wrong");
    // Keys that the token brings along are nobody's.
    const signing_key stranger(key_kind::rsa_2048, "rsa");
    for (const auto* name : {"jwk", "jku", "x5c", "x5u"})
        CHECK(said(stranger.sign({{"alg", "RS256"}, {name, stranger.jwk()}}, claims)) == "auth_wrong");
    CHECK(with("typ", "at+jwt").empty());
    CHECK(with("x5t", "anything").empty());
}

TEST_CASE("claims have to be those of the issuer, the audience and the service") {
    struct row {
        const char* claim;
        json value; // discarded: the claim is left out
        std::string said;
    };
    const json left_out(json::value_t::discarded);
    const std::vector<row> rows{
        {"iss", left_out, "auth_wrong"},
        {"iss", "https://login.contoso.com/", "auth_wrong"},
        {"iss", "HTTPS://login.contoso.com", "auth_wrong"},
        {"iss", json::array({"https://login.contoso.com"}), "auth_wrong"},
        {"aud", left_out, "auth_wrong"},
        {"aud", "https://ml.azure.com/", "auth_wrong"},
        {"aud", nullptr, "auth_wrong"},
        {"aud", json::array(), "auth_wrong"},
        {"aud", json::array({"a", "b"}), "auth_wrong"},
        {"aud", json::array({json::array({"https://ml.azure.com"})}), "auth_wrong"},
        {"aud", {{"https://ml.azure.com", "https://ml.azure.com"}}, "auth_wrong"},
        {"aud", json::array({"a", "https://ml.azure.com"}), ""},
        {"aud", json::array({1, "https://ml.azure.com"}), ""},
        {"service", left_out, "auth_wrong"},
        {"service", "wine", "auth_wrong"},
        {"service", "Iris", "auth_wrong"},
        {"service", "iris2", "auth_wrong"},
        {"service", "wine iris", "auth_wrong"},
        {"service", true, "auth_wrong"},
        {"service", json::array({"wine"}), "auth_wrong"},
        {"service", json::array({"wine", "iris"}), ""},
        {"sub", {{"anything", 1}}, ""},
    };
    for (const auto& row : rows) {
        auto claims = claims_at(now);
        if (row.value.is_discarded())
            claims.erase(row.claim);
        else
            claims[row.claim] = row.value;
        CAPTURE(claims.dump());
        CHECK(said(ec().sign(claims)) == row.said);
    }
    auto terms = token_terms();
    terms.service_claim = "roles";
    const auto by_role = verifier_of({&ec()}, "wine", terms);
    auto claims = claims_at(now);
    CHECK(said(*by_role, ec().sign(claims)) == "auth_wrong");
    claims["roles"] = json::array({"wine"});
    CHECK(said(*by_role, ec().sign(claims)).empty());
}

TEST_CASE("times are taken with 60 s to either side") {
    struct row {
        const char* claim;
        json value;
        std::string said;
    };
    const json left_out(json::value_t::discarded);
    const auto at = now.time_since_epoch().count();
    const std::vector<row> rows{
        {"exp", at + 1, ""},
        {"exp", at, ""},
        {"exp", at - 59, ""},
        {"exp", at - 60, "auth_expired"},
        {"exp", at - 61, "auth_expired"},
        {"exp", 0, "auth_expired"},
        {"exp", double(at) - 59.5, "auth_expired"}, // down to the second
        {"exp", double(at) + 0.5, ""},
        {"exp", 253402300799, ""},
        {"exp", 253402300800, "auth_wrong"},
        {"exp", 1e300, "auth_wrong"},
        {"exp", -1, "auth_wrong"},
        {"exp", std::to_string(at + 60), "auth_wrong"},
        {"exp", nullptr, "auth_wrong"},
        {"exp", left_out, "auth_wrong"},
        {"nbf", at + 60, ""},
        {"nbf", at + 61, "auth_wrong"},
        {"nbf", "soon", "auth_wrong"},
        {"nbf", left_out, ""},
        {"iat", at + 60, ""},
        {"iat", at + 61, "auth_wrong"},
        {"iat", json::array({at}), "auth_wrong"},
        {"iat", left_out, ""},
    };
    for (const auto& row : rows) {
        auto claims = claims_at(now);
        if (row.value.is_discarded())
            claims.erase(row.claim);
        else
            claims[row.claim] = row.value;
        CAPTURE(claims.dump());
        CHECK(said(rsa().sign(claims)) == row.said);
    }
}

TEST_CASE("only what would be good otherwise is expired") {
    auto claims = claims_at(now);
    claims["exp"] = 1;
    CHECK(said(ec().sign(claims)) == "auth_expired");
    const auto token = ec().sign(claims);
    CHECK(said(without_signature(token) + signature_of(ec().sign(claims_at(now)))) == "auth_wrong");
    for (const auto* claim : {"iss", "aud", "service"}) {
        auto other = claims;
        other[claim] = "other";
        CHECK(said(ec().sign(other)) == "auth_wrong");
    }
}

TEST_CASE("JSON that can be read in two ways is no claim and no header") {
    const auto claims = claims_at(now).dump();
    const auto head = ec().header().dump();
    const auto twice = [](std::string object, const std::string& member) { return object.insert(1, member + ","); };
    CHECK(said(ec().sign_texts(head, claims)).empty());
    CHECK(said(ec().sign_texts(head, twice(claims, R"("service":"wine")"))) == "auth_wrong");
    CHECK(said(ec().sign_texts(head, twice(claims, R"("x":{"a":1,"a":2})"))) == "auth_wrong");
    CHECK(said(ec().sign_texts(twice(head, R"("alg":"none")"), claims)) == "auth_malformed");
    CHECK(said(ec().sign_texts(twice(head, R"("\u0061lg":"RS256")"), claims)) == "auth_malformed");
    for (const auto* text :
         {"", "[]", "1", "\"text\"", "null", "{", "{\"a\":1}}", "{\"a\":\xff}", "{} {}", "{'a':1}"}) {
        CAPTURE(text);
        CHECK(said(ec().sign_texts(head, text)) == (*text == '\0' ? "auth_malformed" : "auth_wrong"));
        CHECK(said(ec().sign_texts(text, claims)) == "auth_malformed");
    }
    // A parser of another mind about NUL must not see another algorithm.
    CHECK(said(ec().sign_texts(R"({"alg":"ES256\u0000","kid":"ec"})", claims)) == "auth_wrong");
    CHECK(said(ec().sign_texts(R"({"alg":"ES256","kid":"ec","\u0000":1})", claims)) == "auth_wrong");
}

TEST_CASE("what has not the shape of a token is malformed") {
    const auto token = rsa().sign(claims_at(now));
    const auto first = token.find('.'), second = token.rfind('.');
    auto spaced = token;
    spaced[5] = ' ';
    auto plus = token;
    plus[second + 3] = '+';
    for (const auto& text : std::vector<std::string>{"",
                                                     ".",
                                                     "..",
                                                     "...",
                                                     "a",
                                                     "a.b",
                                                     "a.b.c",
                                                     "eyJ.eyJ.",
                                                     "....",
                                                     token + ".",
                                                     token + ".AAAA",
                                                     "." + token,
                                                     token.substr(0, second),
                                                     token.substr(first),
                                                     token.substr(first + 1),
                                                     spaced,
                                                     plus,
                                                     token + "=",
                                                     token.substr(0, first) + "=" + token.substr(first),
                                                     token + "A" + std::string(8192, 'A'),
                                                     std::string(9000, '.'),
                                                     std::string("\0\0.\0\0.\0\0", 8),
                                                     std::string(40, 'k')}) {
        CAPTURE(text);
        CHECK(said(text) == "auth_malformed");
    }
    auto claims = claims_at(now);
    claims["long"] = std::string(5500, 'x');
    CHECK(said(rsa().sign(claims)).empty()); // just under the limit
    claims["long"] = std::string(6000, 'x');
    CHECK(said(rsa().sign(claims)) == "auth_malformed");
    const auto deep = [](const char* open, const char* close) {
        std::string text;
        for (int i = 0; i < 2500; ++i) text += open;
        for (int i = 0; i < 2500; ++i) text += close;
        return text;
    };
    CHECK(said(ec().sign_texts(ec().header().dump(), deep("[", "]"))) == "auth_wrong");
    CHECK(said(to_base64url(deep("[", "]")) + ".e30.") == "auth_malformed");
}

TEST_CASE("garbage of every kind is refused, and nothing else happens") {
    std::uint32_t state = 7;
    const auto next = [&state](std::uint32_t below) {
        state = state * 1664525 + 1013904223;
        return (state >> 8) % below;
    };
    const auto good = ec().sign(claims_at(now));
    for (int round = 0; round < 3000; ++round) {
        auto text = good;
        for (std::uint32_t n = 1 + next(4); n != 0; --n) {
            const auto at = next(static_cast<std::uint32_t>(text.size()));
            switch (next(4)) {
            case 0: text[at] = static_cast<char>(next(256)); break;
            case 1: text.erase(at, 1 + next(8)); break;
            case 2: text.insert(at, 1 + next(3), "A._-={}\0"[next(8)]); break;
            default: text.insert(at, text, next(static_cast<std::uint32_t>(text.size())), 1 + next(20)); break;
            }
        }
        if (text == good) continue;
        CAPTURE(round, text);
        const auto result = said(text);
        CHECK((result == "auth_wrong" || result == "auth_malformed"));
    }
}
