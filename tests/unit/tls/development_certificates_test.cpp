#include "support/certificates.hpp"
#include "tls/certificate_check.hpp"
#include "tls/development_certificates.hpp"

#include <catch2/catch.hpp>
#include <openssl/pem.h>

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace {

using namespace scoregate;
using namespace std::chrono_literals;
using std::chrono::system_clock;
namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<tls::x509_ptr> certificates_of(const fs::path& path) {
    const auto text = text_of(path);
    const tls::bio_ptr in{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    std::vector<tls::x509_ptr> all;
    while (auto* x509 = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) all.emplace_back(x509);
    ERR_clear_error();
    return all;
}

unsigned mode_of(const fs::path& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

std::vector<std::string> listing(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

// "ok", or why a strict TLS client for `host` that trusts `authority` would refuse `leaf`.
std::string verify(X509* leaf, X509* authority, const std::string& host) {
    using store_ptr = std::unique_ptr<X509_STORE, tls::openssl_deleter<X509_STORE_free>>;
    using verification_ptr = std::unique_ptr<X509_STORE_CTX, tls::openssl_deleter<X509_STORE_CTX_free>>;
    const store_ptr store{X509_STORE_new()};
    const verification_ptr verification{X509_STORE_CTX_new()};
    X509_STORE_add_cert(store.get(), authority);
    X509_STORE_CTX_init(verification.get(), store.get(), leaf, nullptr);
    X509_STORE_CTX_set_default(verification.get(), "ssl_server");
    auto* terms = X509_STORE_CTX_get0_param(verification.get());
    X509_VERIFY_PARAM_set_flags(terms, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    if (X509_VERIFY_PARAM_set1_ip_asc(terms, host.c_str()) != 1)
        X509_VERIFY_PARAM_set1_host(terms, host.data(), host.size());
    ERR_clear_error();
    X509_verify_cert(verification.get());
    return X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification.get()));
}

} // namespace

TEST_CASE("strict verifiers accept development certificates, for their names only") {
    struct row {
        std::string cname;
        std::vector<std::string> names;
    };
    for (const auto& row :
         std::vector<row>{{"localhost", {"localhost", "127.0.0.1", "::1"}},
                          {"www.contoso.com", {"www.contoso.com"}},
                          {std::string(60, 'a') + ".contoso.com", {std::string(60, 'a') + ".contoso.com"}},
                          {"192.0.2.7", {"192.0.2.7"}},
                          {"2001:db8::7", {"2001:db8::7"}}}) {
        CAPTURE(row.cname);
        const tests::pem_directory directory;
        const auto made = tls::make_development_certificates(directory.path(), row.cname, 30, false);
        CHECK(made.names == row.names);
        const auto authority = certificates_of(made.authority);
        const auto chain = certificates_of(made.certificate);
        REQUIRE(authority.size() == 1);
        REQUIRE(chain.size() == 2);
        CHECK(X509_cmp(chain[1].get(), authority[0].get()) == 0);
        for (const auto& name : row.names) CHECK(verify(chain[0].get(), authority[0].get(), name) == "ok");
        CHECK(verify(chain[0].get(), authority[0].get(), "other.example") == "hostname mismatch");
        CHECK(verify(chain[0].get(), authority[0].get(), "198.51.100.1") == "IP address mismatch");
    }
}

TEST_CASE("scoregate accepts its own development certificates without a word") {
    const tests::pem_directory directory;
    const auto before = system_clock::now();
    const auto made = tls::make_development_certificates(directory.path() / "new" / "folder", "localhost", 30, false);
    const auto loaded = tls::load_certificate({made.certificate, made.key, "localhost"}, "", system_clock::now());
    CHECK(loaded.problems.empty());
    CHECK(loaded.warnings.empty());
    REQUIRE(loaded.value);
    CHECK(loaded.value->key_type() == "ECDSA P-256");
    CHECK(loaded.value->names() == made.names);
    CHECK(loaded.value->not_before() < before - 59min); // a client's clock may be a little behind
    CHECK(loaded.value->not_after() > before + 24h * 30 - 1s);
    CHECK(loaded.value->not_after() < before + 24h * 30 + 10min);
}

TEST_CASE("the profile of RFC 5280") {
    const tests::pem_directory directory;
    const auto made = tls::make_development_certificates(directory.path(), "localhost", 30, false);
    const auto chain = certificates_of(made.certificate);
    REQUIRE(chain.size() == 2);
    X509 *leaf = chain[0].get(), *authority = chain[1].get();
    const auto critical = [](X509* x509, int nid) {
        return X509_EXTENSION_get_critical(X509_get_ext(x509, X509_get_ext_by_NID(x509, nid, -1)));
    };
    CHECK(X509_check_ca(authority) == 1);
    CHECK(critical(authority, NID_basic_constraints) == 1);
    CHECK(critical(authority, NID_key_usage) == 1);
    CHECK(X509_get_key_usage(authority) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
    CHECK(X509_get0_subject_key_id(authority) != nullptr);

    CHECK(X509_check_ca(leaf) == 0);
    CHECK((X509_get_extension_flags(leaf) & EXFLAG_BCONS) != 0);
    CHECK(critical(leaf, NID_key_usage) == 1);
    CHECK(X509_get_key_usage(leaf) == KU_DIGITAL_SIGNATURE);
    CHECK(X509_get_extended_key_usage(leaf) == XKU_SSL_SERVER);
    CHECK(X509_get0_subject_key_id(leaf) != nullptr);
    REQUIRE(X509_get0_authority_key_id(leaf) != nullptr);
    CHECK(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf), X509_get0_subject_key_id(authority)) == 0);

    for (X509* each : {leaf, authority}) {
        CHECK(ASN1_INTEGER_get(X509_get0_serialNumber(each)) != 0);
        CHECK(ASN1_STRING_type(X509_get0_serialNumber(each)) == V_ASN1_INTEGER); // not V_ASN1_NEG_INTEGER
        CHECK(ASN1_STRING_length(X509_get0_serialNumber(each)) == 20);
    }
    CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf), X509_get0_serialNumber(authority)) != 0);
}

TEST_CASE("the leaf's key is for its owner alone, and the CA's is nowhere") {
    const tests::pem_directory directory;
    const auto made = tls::make_development_certificates(directory.path(), "localhost", 30, false);
    CHECK(listing(directory.path()) == std::vector<std::string>{"ca.pem", "cert.pem", "key.pem"});
    CHECK(mode_of(made.key) == 0600);
    CHECK(text_of(made.key).starts_with("-----BEGIN PRIVATE KEY-----"));
    for (const auto& path : {made.authority, made.certificate})
        CHECK_THAT(text_of(path), !Catch::Contains("PRIVATE KEY"));
    const auto swapped = tls::load_certificate({made.authority, made.key, "localhost"}, "", system_clock::now());
    REQUIRE_FALSE(swapped.problems.empty());
    CHECK_THAT(swapped.problems[0].message, Catch::Contains("does not match"));
}

TEST_CASE("existing files are replaced only when told to") {
    for (const auto* name : {"ca.pem", "cert.pem", "key.pem"}) {
        CAPTURE(name);
        const tests::pem_directory directory;
        const auto path = directory.write(name, "precious");
        fs::permissions(path, fs::perms(0644));
        CHECK_THROWS_WITH(tls::make_development_certificates(directory.path(), "localhost", 30, false),
                          Catch::Contains(path + " exists"));
        CHECK(text_of(path) == "precious");
        CHECK(listing(directory.path()).size() == 1); // nothing else was made either

        const auto made = tls::make_development_certificates(directory.path(), "localhost", 30, true);
        CHECK(text_of(path).starts_with("-----BEGIN "));
        CHECK(listing(directory.path()) == std::vector<std::string>{"ca.pem", "cert.pem", "key.pem"});
        CHECK(mode_of(made.key) == 0600); // not the mode of the file it replaced
        CHECK(tls::load_certificate({made.certificate, made.key, "localhost"}, "", system_clock::now()).value);
    }
}

TEST_CASE("certificates are there when all three files are") {
    const tests::pem_directory directory;
    CHECK_FALSE(tls::has_development_certificates(directory.path() / "new"));
    const auto made = tls::make_development_certificates(directory.path() / "new", "localhost", 30, false);
    CHECK(tls::has_development_certificates(directory.path() / "new"));
    fs::remove(made.certificate);
    CHECK_FALSE(tls::has_development_certificates(directory.path() / "new"));
}

TEST_CASE("a dangling link is an existing file") {
    const tests::pem_directory directory;
    const auto target = directory.path() / "elsewhere";
    fs::create_symlink(target, directory.path() / "key.pem");
    CHECK_THROWS_WITH(tls::make_development_certificates(directory.path(), "localhost", 30, false),
                      Catch::Contains("key.pem exists"));
    tls::make_development_certificates(directory.path(), "localhost", 30, true);
    CHECK_FALSE(fs::exists(target)); // the link was replaced, not followed
}

TEST_CASE("what cannot be made is said") {
    const tests::pem_directory directory;
    for (const auto* name : {"", "*.contoso.com", "a b", "a,DNS:b"}) {
        CAPTURE(name);
        CHECK_THROWS_WITH(tls::make_development_certificates(directory.path(), name, 30, false),
                          Catch::Contains("neither a host name nor an IP address"));
    }
    for (const unsigned days : {0U, 36501U, ~0U})
        CHECK_THROWS_WITH(tls::make_development_certificates(directory.path(), "localhost", days, false),
                          Catch::Contains("from 1 to 36500"));
    CHECK(listing(directory.path()).empty());
    CHECK_NOTHROW(tls::make_development_certificates(directory.path(), "localhost", 36500, false));

    const auto file = directory.write("file", "");
    CHECK_THROWS_WITH(tls::make_development_certificates(file, "localhost", 30, false), Catch::Contains(file));
    fs::create_directory(directory.path() / "taken");
    fs::create_directories(directory.path() / "taken" / "cert.pem" / "x");
    CHECK_THROWS_WITH(tls::make_development_certificates(directory.path() / "taken", "localhost", 30, true),
                      Catch::Contains("cannot write") && Catch::Contains("cert.pem"));
    CHECK_FALSE(fs::exists(directory.path() / "taken" / "cert.pem.new"));
}
