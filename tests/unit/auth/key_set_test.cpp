#include "auth/credentials.hpp"
#include "auth/key_set.hpp"
#include "support/tokens.hpp"

#include <catch2/catch.hpp>

#include <openssl/err.h>

#include <filesystem>
#include <functional>

namespace {

using namespace scoregate;
using namespace scoregate::tests;
using Catch::Contains;
using nlohmann::json;

const signing_key& rsa() {
    static const signing_key made(key_kind::rsa_2048, "rsa");
    return made;
}
const signing_key& ec() {
    static const signing_key made(key_kind::ec_p256, "ec");
    return made;
}

json both() { return key_set_of({&rsa(), &ec()}); }

bool verifies(const auth::key_set& keys, const signing_key& by) {
    const auto token = by.sign(json{{"a", 1}});
    const auto payload =
        keys.payload_of(token, by.rsa ? auth::signature_algorithm::rs256 : auth::signature_algorithm::es256, &by.kid);
    CHECK((!payload || *payload == R"({"a":1})"));
    return payload.has_value();
}

struct folder_with_keys {
    pem_directory folder;
    std::string path = (folder.path() / "jwks.json").string();

    auth::credential_load load() const { return auth::load_credentials({"iris", token_terms(path)}, "scoregate.json"); }
};

} // namespace

TEST_CASE("a key set is what an issuer publishes") {
    auto set = both();
    set["more"] = "is ignored";
    set["keys"][0].update({{"x5t", "a"}, {"x5c", {"a"}}, {"issuer", "b"}});
    const auto parsed = auth::parse_key_set(set.dump());
    CHECK(parsed.defects.empty());
    CHECK(parsed.warnings.empty());
    REQUIRE(parsed.value);
    CHECK(verifies(*parsed.value, rsa()));
    CHECK(verifies(*parsed.value, ec()));
    CHECK_FALSE(verifies(*parsed.value, signing_key(key_kind::ec_p256, "ec")));

    for (const auto* name : {"use", "alg"}) {
        auto without = both();
        for (auto& each : without["keys"]) each.erase(name);
        CHECK(auth::parse_key_set(without.dump()).warnings.empty());
    }
    // A leading zero, as some write it.
    auto padded = key_set_of({&rsa()});
    const signing_key& key = rsa();
    std::string modulus(256, '\0');
    BIGNUM* raw = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(key.key.get(), "n", &raw) == 1);
    BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(modulus.data()), 256);
    BN_free(raw);
    padded["keys"][0]["n"] = to_base64url(std::string(1, '\0') + modulus);
    const auto read = auth::parse_key_set(padded.dump());
    REQUIRE(read.value);
    CHECK(verifies(*read.value, key));
}

TEST_CASE("keys that tokens are not verified with are left out, and told") {
    struct row {
        std::function<void(json&)> change; // of the first of two keys
        const char* fragment;
    };
    const signing_key weak(key_kind::rsa_1024, "rsa"), p384(key_kind::ec_p384, "rsa");
    const std::vector<row> rows{
        {[](json& key) { key["use"] = "enc"; }, "its use is not sig"},
        {[](json& key) { key["use"] = 1; }, "its use is not sig"},
        {[](json& key) { key["key_ops"] = {"sign"}; }, "its key_ops do not have verify"},
        {[](json& key) { key["key_ops"] = "verify"; }, "its key_ops do not have verify"},
        {[](json& key) { key["alg"] = "RSA-OAEP"; }, "its alg is not RS256"},
        {[](json& key) { key["alg"] = "HS256"; }, "its alg is not RS256"},
        {[](json& key) { key["alg"] = "PS256"; }, "its alg is not RS256"},
        {[](json& key) { key["kty"] = "OKP"; }, "its kty is neither RSA nor EC"},
        {[&](json& key) { key = weak.jwk(); }, "it has 1024 bits, and 2048 to 4096 are accepted"},
        {[&](json& key) { key["n"] = std::string(1400, 'A') + "_w"; }, "it has 8 bits"},
        {[&](json& key) { key["n"] = std::string(1400, '_'); }, "it has 8400 bits"},
        {[&](json& key) { key = p384.jwk(); }, "its crv is not P-256"},
    };
    for (const auto& row : rows) {
        auto set = both();
        row.change(set["keys"][0]);
        CAPTURE(set["keys"][0].dump());
        const auto parsed = auth::parse_key_set(set.dump());
        CHECK(parsed.defects.empty());
        REQUIRE(parsed.warnings.size() == 1);
        CHECK_THAT(parsed.warnings[0], Catch::StartsWith("keys[0] is not used: ") && Contains(row.fragment));
        REQUIRE(parsed.value);
        CHECK_FALSE(verifies(*parsed.value, rsa()));
        CHECK(verifies(*parsed.value, ec()));
    }
}

TEST_CASE("a private key in the set is told, and its public half is used") {
    for (const auto* key : {&rsa(), &ec()}) {
        const auto parsed = auth::parse_key_set(json{{"keys", {key->private_jwk()}}}.dump());
        REQUIRE(parsed.value);
        REQUIRE(parsed.warnings.size() == 1);
        CHECK_THAT(parsed.warnings[0], Contains("holds the private key"));
        CHECK(verifies(*parsed.value, *key));
    }
}

TEST_CASE("what is no key set is refused whole, with its place") {
    struct row {
        std::function<void(json&)> change;
        const char* fragment;
    };
    const std::vector<row> rows{
        {[](json& set) {
             set["keys"][0] = {{"kty", "oct"}, {"k", "c2VjcmV0"}};
         },
         "keys[0] is a symmetric key"},
        {[](json& set) {
             set["keys"].push_back({{"kty", "oct"}, {"use", "enc"}});
         },
         "keys[2] is a symmetric key"},
        {[](json& set) { set["keys"][1] = nullptr; }, "keys[1] is not a JWK"},
        {[](json& set) { set["keys"][1].erase("kty"); }, "keys[1] is not a JWK"},
        {[](json& set) { set["keys"][1]["kty"] = 1; }, "keys[1] is not a JWK"},
        {[](json& set) { set["keys"][0]["kid"] = 1; }, "keys[0] has a kid that is no text"},
        {[](json& set) { set["keys"][0].erase("n"); }, "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][0]["n"] = 1; }, "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][0]["n"] = "not base64url"; }, "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][0]["n"] = std::string(342, 'A'); }, "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][0]["e"] = "AQ"; }, "keys[0] is not a valid RSA key"}, // 1: everyone could sign
        {[](json& set) { set["keys"][0]["e"] = "AQAA"; }, "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][0]["e"] = "AQAAAAAAAAAB" + std::string(4, '_'); },
         "keys[0] is not a valid RSA key"},
        {[](json& set) { set["keys"][1].erase("x"); }, "keys[1] is not a valid key"},
        {[](json& set) { set["keys"][1]["x"] = set["keys"][1]["y"]; },
         "keys[1] is not a valid key"}, // not on the curve
        {[](json& set) { set["keys"][1]["y"] = std::string(64, '_'); }, "keys[1] is not a valid key"},
        {[](json& set) { set["keys"] = json::array(); }, "holds no key that a token can be verified with"},
        {[](json& set) {
             for (auto& each : set["keys"]) each["use"] = "enc";
         },
         "holds no key that a token can be"},
        {[](json& set) { set["keys"] = json::array_t(65, set["keys"][0]); }, "holds more than 64 keys"},
        {[](json& set) { set["keys"] = set["keys"][0]; }, "is not a JWKS"},
        {[](json& set) { set.erase("keys"); }, "is not a JWKS"},
        {[](json& set) { set = set["keys"]; }, "is not a JWKS"},
        {[](json& set) { set = set["keys"][0]; }, "is not a JWKS"},
    };
    for (const auto& row : rows) {
        auto set = both();
        row.change(set);
        CAPTURE(set.dump());
        const auto parsed = auth::parse_key_set(set.dump());
        CHECK_FALSE(parsed.value);
        REQUIRE(parsed.defects.size() == 1);
        CHECK_THAT(parsed.defects[0], Contains(row.fragment));
        CHECK(ERR_peek_error() == 0);
    }
    for (const auto* text :
         {"", "{", "keys", R"({"keys":[],"keys":[]})", "-----BEGIN PUBLIC KEY-----", "{\"keys\":[\xff]}"}) {
        CAPTURE(text);
        const auto parsed = auth::parse_key_set(text);
        CHECK_FALSE(parsed.value);
        REQUIRE(parsed.defects.size() == 1);
        CHECK_THAT(parsed.defects[0], Contains("is not a JWKS"));
    }
    auto two = both();
    two["keys"][0].erase("n");
    two["keys"][1].erase("x");
    CHECK(auth::parse_key_set(two.dump()).defects.size() == 2); // all are told
}

TEST_CASE("a service's tokens are loaded from the file of keys") {
    const folder_with_keys at;
    at.folder.write("jwks.json", both().dump());
    const auto loaded = at.load();
    CHECK(loaded.problems.empty());
    CHECK(loaded.warnings.empty());
    CHECK_FALSE(loaded.value.keys);
    REQUIRE(loaded.value.tokens);
    constexpr std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};
    CHECK(loaded.value.tokens->verify(ec().sign(claims_at(now)), now).has_value());

    auto set = both();
    set["keys"][0]["use"] = "enc";
    at.folder.write("jwks.json", set.dump());
    const auto warned = at.load();
    REQUIRE(warned.warnings.size() == 1);
    CHECK(warned.warnings[0] == at.path + ": keys[0] is not used: its use is not sig");
    CHECK(warned.content != loaded.content);
}

TEST_CASE("what is wrong with the file of keys is told at its setting") {
    const folder_with_keys at;
    const auto told = [&](const char* fragment) {
        CAPTURE(fragment);
        const auto loaded = at.load();
        CHECK_FALSE(loaded.value);
        REQUIRE(loaded.problems.size() == 1);
        CHECK(loaded.problems[0].file == "scoregate.json");
        CHECK(loaded.problems[0].pointer == "/services/iris/token/jwks_file");
        CHECK_THAT(loaded.problems[0].message, Contains(at.path) && Contains(fragment));
        return loaded.content;
    };
    const auto missing = told("No such file or directory; correct the path, or save there what the issuer publishes");
    at.folder.write("jwks.json", "{}");
    const auto empty = told("is not a JWKS");
    CHECK(missing != empty);
    at.folder.write("jwks.json", both().dump() + std::string(1024 * 1024, ' '));
    told("is larger than 1 MiB");
    std::filesystem::remove(at.path);
    std::filesystem::create_directory(at.path);
    told("it is not a regular file; name the file that holds the keys of the issuer");
}
