#include "tls/replica_trust.hpp"

#include "support/certificates.hpp"
#include "tls/pem.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::tls;

TEST_CASE("trust is the same if name and certificates are") {
    const tests::pem_directory folder;
    const auto one = folder.write("a.pem", tests::make_hierarchy().root_pem());
    const auto other = folder.write("b.pem", tests::make_hierarchy().root_pem());
    const replica_trust trust(one, "a");
    CHECK(trust == replica_trust(one, "a"));
    CHECK_FALSE(trust == replica_trust(one, "b"));
    CHECK_FALSE(trust == replica_trust(other, "a"));
    CHECK_FALSE(trust == replica_trust("", "a"));
    CHECK(replica_trust("", "") == replica_trust("", ""));
}

TEST_CASE("a file without certificates is refused with a remedy") {
    const tests::pem_directory folder;
    CHECK_THROWS_AS(replica_trust((folder.path() / "none.pem").string(), ""), unusable_file);
    CHECK_THROWS_AS(replica_trust(folder.write("empty.pem", ""), ""), unusable_file);
    CHECK_THROWS_AS(replica_trust(folder.write("key.pem", tests::make_hierarchy().key_pem()), ""), unusable_file);
}

TEST_CASE("a name is asked for by SNI, an address is not; both are verified, in TLS 1.2") {
    struct row {
        std::string server_name, host, sni, name, address;
    };
    const auto one = GENERATE(values<row>({
        {"", "model.internal", "model.internal", "model.internal", ""},
        {"www.contoso.com", "10.0.0.4", "www.contoso.com", "www.contoso.com", ""},
        {"", "10.0.0.4", "", "", "10.0.0.4"},
        {"", "::1", "", "", "0:0:0:0:0:0:0:1"},
        {"10.0.0.5", "model.internal", "", "", "10.0.0.5"},
    }));
    INFO(one.server_name << " " << one.host);
    const replica_trust trust("", one.server_name);
    const auto ssl = trust.begin(one.host);
    REQUIRE(ssl);
    const auto text = [](const char* given) { return std::string(given != nullptr ? given : ""); };
    CHECK(text(SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name)) == one.sni);
    auto* const terms = SSL_get0_param(ssl.get());
    CHECK(text(X509_VERIFY_PARAM_get0_host(terms, 0)) == one.name);
    char* const address = X509_VERIFY_PARAM_get1_ip_asc(terms);
    CHECK(text(address) == one.address);
    OPENSSL_free(address);
    CHECK(SSL_get_verify_mode(ssl.get()) == SSL_VERIFY_PEER);
    CHECK(SSL_get_min_proto_version(ssl.get()) == TLS1_2_VERSION);
    CHECK(SSL_get_max_proto_version(ssl.get()) == TLS1_2_VERSION);
}

TEST_CASE("a complaint is made once in a while") {
    const replica_trust trust("", "");
    CHECK(trust.may_complain());
    CHECK_FALSE(trust.may_complain());
}
