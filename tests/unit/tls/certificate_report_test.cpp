#include "support/certificates.hpp"
#include "tls/certificate_report.hpp"

#include <catch2/catch.hpp>
#include <openssl/core_names.h>

#include <sys/stat.h>

#include <chrono>

namespace {

using namespace scoregate;
using namespace std::chrono_literals;
using Catch::Contains;
using std::chrono::days;
using std::chrono::system_clock;
using tests::identity_terms;
using tests::key_kind;

constexpr auto cname = "www.contoso.com";

const tests::hierarchy& good() {
    static const auto made = tests::make_hierarchy();
    return made;
}

// What openssl itself says: "sha256 Fingerprint" as colon-separated hex.
std::string fingerprint(const X509* x509) {
    std::array<unsigned char, 32> digest{};
    REQUIRE(X509_digest(x509, EVP_sha256(), digest.data(), nullptr) == 1);
    char* hex = OPENSSL_buf2hexstr(digest.data(), digest.size());
    std::string text = hex;
    OPENSSL_free(hex);
    return text;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

// The lines of checks with this mark, without it.
std::vector<std::string> marked(const std::string& text, const std::string& mark) {
    std::vector<std::string> found;
    for (const auto& line : lines_of(text))
        if (line.starts_with("  " + mark + " "))
            found.push_back(line.substr(line.find_first_not_of(' ', mark.size() + 2)));
    return found;
}

constexpr std::size_t number_of_checks = 11;

} // namespace

TEST_CASE("a good pair is explained whole") {
    identity_terms terms;
    terms.names = {cname, "*.models.contoso.com", "192.0.2.7"};
    terms.not_before = system_clock::time_point{std::chrono::sys_days{std::chrono::January / 1 / 2026}};
    terms.not_after = terms.not_before + days(90);
    identity_terms authority;
    authority.kind = tls::certificate_kind::authority;
    authority.common_name = "Test CA";
    authority.key = key_kind::rsa_2048;
    authority.names = {};
    authority.not_before = terms.not_before;
    authority.not_after = terms.not_before + days(3650);
    const auto root = tests::issue_self_signed(authority);
    const auto leaf = tests::issue(terms, root);
    const auto serial = [](const tests::identity& of) {
        const tls::bignum_ptr number{ASN1_INTEGER_to_BN(X509_get0_serialNumber(of.certificate.get()), nullptr)};
        char* hex = BN_bn2hex(number.get());
        std::string text = hex;
        OPENSSL_free(hex);
        return text;
    };
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(tests::to_pem({&leaf, &root}), tls::to_pem(leaf.key.get()), cname);

    const auto report = tls::inspect(pair, terms.not_before + days(50));
    CHECK(report.usable);
    CHECK(report.text == "Certificate 1 of 2: the server's own (leaf)\n"
                         "  subject     CN=server\n"
                         "  issuer      CN=Test CA\n"
                         "  names       www.contoso.com, *.models.contoso.com, 192.0.2.7\n"
                         "  serial      " +
                             serial(leaf) +
                             "\n"
                             "  SHA-256     " +
                             fingerprint(leaf.certificate.get()) +
                             "\n"
                             "  valid       2026-01-01T00:00:00Z to 2026-04-01T00:00:00Z, 40 days left\n"
                             "  key         ECDSA P-256\n"
                             "  signed with SHA256\n"
                             "\n"
                             "Certificate 2 of 2: a root, which clients have or are told to trust\n"
                             "  subject     CN=Test CA\n"
                             "  issuer      CN=Test CA\n"
                             "  serial      " +
                             serial(root) +
                             "\n"
                             "  SHA-256     " +
                             fingerprint(root.certificate.get()) +
                             "\n"
                             "  valid       2026-01-01T00:00:00Z to 2035-12-30T00:00:00Z, 3600 days left\n"
                             "  key         RSA 2048\n"
                             "  signed with SHA256\n"
                             "\n"
                             "Key: " +
                             pair.key +
                             "\n"
                             "  type        ECDSA P-256\n"
                             "\n"
                             "Checks\n"
                             "  ok          the certificate's file is X.509 in PEM (openssl x509 -text -noout)\n"
                             "  ok          the key's file is a private key in PEM, without a passphrase\n"
                             "  ok          the key's file is not readable by every user\n"
                             "  ok          the key is consistent in itself (openssl pkey -check, openssl rsa -check)\n"
                             "  ok          the key's type is one that TLS 1.2 clients know\n"
                             "  ok          the key belongs to the certificate: their public keys (moduli) are equal\n"
                             "  ok          keys and signatures of the chain are strong enough\n"
                             "  ok          the chain is whole and in order\n"
                             "  ok          every certificate is within its dates\n"
                             "  ok          the certificate may be used by a TLS server\n"
                             "  ok          the certificate covers sslCname, the name that clients connect to\n"
                             "\n"
                             "Expiry: scoregate warns in its log when this is left\n"
                             "  30 days     in 10 days\n"
                             "  7 days      in 33 days\n"
                             "  24 hours    in 39 days\n"
                             "\n"
                             "Usable: scoregate starts with this pair.\n");
}

TEST_CASE("each flaw is told beside what passes") {
    const auto other_key = tests::make_key(key_kind::ec_p256);
    identity_terms rsa;
    rsa.key = key_kind::rsa_2048;
    const auto of_rsa = tests::make_hierarchy(rsa);
    const auto unrelated = tests::make_key(key_kind::rsa_2048);
    // CRT numbers are right, so that it signs; only the exponent is another key's.
    const auto odd = tests::make_mixed_key(of_rsa.leaf.key.get(), unrelated.get(), {OSSL_PKEY_PARAM_RSA_D});
    const auto torn = tests::make_mixed_key(good().leaf.key.get(), other_key.get(), {OSSL_PKEY_PARAM_PRIV_KEY});
    identity_terms weak_terms;
    weak_terms.key = key_kind::rsa_1024;
    const auto weak = tests::make_hierarchy(weak_terms);
    const auto alone = tests::to_pem({&good().leaf});

    struct row {
        std::string name, certificate, key, cname;
        std::vector<std::string> defects, warnings;
        bool usable;
    };
    const auto rows = std::vector<row>{
        {"another key", good().certificate_pem(), tls::to_pem(other_key.get()), cname, {"does not match"}, {}, false},
        {"another name", good().certificate_pem(), good().key_pem(), "other.example", {"set sslCname to"}, {}, false},
        {"leaf alone", alone, good().key_pem(), cname, {}, {"append the PEM"}, true},
        {"torn key", good().certificate_pem(), tls::to_pem(torn.get()), cname, {"not consistent in itself"}, {}, false},
        {"odd key", of_rsa.certificate_pem(), tls::to_pem(odd.get()), cname, {}, {"do not fit together"}, true},
        {"several",
         tests::to_pem({&weak.leaf}),
         weak.key_pem(),
         "other.example",
         {"RSA of at least 2048", "RSA of at least 2048", "set sslCname to"},
         {"append the PEM"},
         false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const tests::pem_directory directory;
        const auto report =
            tls::inspect(directory.write_pair(row.certificate, row.key, row.cname), system_clock::now());
        INFO(report.text);
        CHECK(report.usable == row.usable);
        const auto defects = marked(report.text, "DEFECT"), warnings = marked(report.text, "WARNING");
        REQUIRE(defects.size() == row.defects.size());
        REQUIRE(warnings.size() == row.warnings.size());
        for (std::size_t i = 0; i < defects.size(); ++i) CHECK_THAT(defects[i], Contains(row.defects[i]));
        for (std::size_t i = 0; i < warnings.size(); ++i) CHECK_THAT(warnings[i], Contains(row.warnings[i]));
        CHECK(marked(report.text, "ok").size() == number_of_checks - defects.size() - warnings.size());
        CHECK_THAT(report.text, Contains(row.usable ? "\nUsable: " : "\nNot usable: "));
    }
}

TEST_CASE("what can be read is shown when the rest cannot") {
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(good().certificate_pem(), good().key_pem(), cname);
    SECTION("no key") {
        const auto report = tls::inspect({pair.certificate, "/nowhere/key.pem", cname}, system_clock::now());
        CHECK_FALSE(report.usable);
        CHECK_THAT(report.text, Contains("Certificate 2 of 2: an issuer (intermediate)") && !Contains("Key: "));
        CHECK_THAT(marked(report.text, "DEFECT").at(0), Contains("cannot read /nowhere/key.pem"));
        CHECK(marked(report.text, "not checked").size() == 4);
        CHECK(marked(report.text, "ok").size() == 6);
        CHECK_THAT(report.text, Contains("whether the key is consistent") && Contains(": the key cannot be read"));
    }
    SECTION("no certificate") {
        const auto report = tls::inspect({directory.write("x", "hello"), pair.key, cname}, system_clock::now());
        CHECK_FALSE(report.usable);
        CHECK_THAT(report.text, Contains("Key: " + pair.key + "\n  type        ECDSA P-256") &&
                                    !Contains("Certificate 1") && !Contains("Expiry"));
        CHECK_THAT(marked(report.text, "DEFECT").at(0), Contains("not PEM"));
        CHECK(marked(report.text, "not checked").size() == 6);
        CHECK(marked(report.text, "ok").size() == 4);
    }
    SECTION("neither, as the directory holds no pair") {
        const tests::pem_directory empty;
        const auto report = tls::inspect({{}, {}, cname, empty.path().string(), {}}, system_clock::now());
        CHECK_FALSE(report.usable);
        CHECK_THAT(marked(report.text, "DEFECT").at(0), Contains("holds no pair"));
        CHECK(marked(report.text, "not checked").size() == number_of_checks);
        CHECK(marked(report.text, "ok").empty());
    }
    SECTION("both, from a directory") {
        const auto report = tls::inspect({{}, {}, cname, directory.path().string(), {}}, system_clock::now());
        CHECK(report.usable);
        CHECK(marked(report.text, "ok").size() == number_of_checks);
    }
}

TEST_CASE("a name may be left out") {
    const tests::pem_directory directory;
    const auto report =
        tls::inspect(directory.write_pair(good().certificate_pem(), good().key_pem(), ""), system_clock::now());
    CHECK(report.usable);
    REQUIRE(marked(report.text, "not checked").size() == 1);
    CHECK_THAT(marked(report.text, "not checked").front(), Contains("no name was given"));
    CHECK(marked(report.text, "DEFECT").empty());
}

TEST_CASE("a leaf outside of its dates is not usable, an issuer is a warning") {
    const auto start = std::chrono::floor<std::chrono::seconds>(system_clock::now());
    identity_terms terms;
    terms.not_before = start;
    terms.not_after = start + days(6);
    const auto leaf = tests::issue(terms, good().intermediate);
    const tests::pem_directory directory;
    const auto pair =
        directory.write_pair(tests::to_pem({&leaf, &good().intermediate}), tls::to_pem(leaf.key.get()), cname);
    struct row {
        std::chrono::seconds at;
        bool usable;
        std::string place;
        std::vector<std::string> thresholds;
    };
    for (const auto& row :
         std::vector<row>{{0s, true, ", 6 days left", {"2 days      in 4 days", "24 hours    in 5 days"}},
                          {days(5), true, ", 24 hours left", {"2 days      reached", "24 hours    reached"}},
                          {days(6), true, ", less than an hour left", {"2 days      reached", "24 hours    reached"}},
                          {days(6) + 1s, false, ", expired less than an hour ago", {"2 days      reached"}},
                          {days(9), false, ", expired 3 days ago", {"2 days      reached"}},
                          {-1s, false, ", not valid yet", {"2 days      in 4 days"}}}) {
        const auto report = tls::inspect(pair, start + row.at);
        INFO(report.text);
        CHECK(report.usable == row.usable);
        CHECK_THAT(report.text, Contains(row.place));
        for (const auto& threshold : row.thresholds) CHECK_THAT(report.text, Contains("\n  " + threshold + "\n"));
        CHECK(marked(report.text, "WARNING").size() == (row.usable ? 0 : 1));
        CHECK_THAT(report.text, Contains(row.usable ? "Usable: " : "Not usable: clients refuse"));
    }
}

TEST_CASE("a certificate that lives for an hour has a threshold, too") {
    identity_terms terms;
    terms.not_after = terms.not_before + 1h;
    const auto leaf = tests::issue(terms, good().intermediate);
    const tests::pem_directory directory;
    const auto report = tls::inspect(
        directory.write_pair(tests::to_pem({&leaf, &good().intermediate}), tls::to_pem(leaf.key.get()), cname),
        terms.not_before);
    CHECK_THAT(report.text, Contains("\n  less than an hour in less than an hour\n"));
}

TEST_CASE("no byte of the key is shown, whatever is wrong with it") {
    const tests::pem_directory directory;
    const auto key = good().key_pem();
    const auto body = key.substr(key.find('\n') + 1, 64);
    BIGNUM* scalar = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(good().leaf.key.get(), OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1);
    const tls::bignum_ptr owned{scalar};
    char* hex = BN_bn2hex(scalar);
    const std::string digits = hex;
    OPENSSL_free(hex);
    const auto pair = directory.write_pair(good().certificate_pem(), key, cname);
    REQUIRE(::chmod(pair.key.c_str(), 0644) == 0);
    for (const auto& files : {pair, config::certificate_files{pair.key, pair.key, cname},
                              directory.write_pair(key, key.substr(0, key.size() - 40), cname)}) {
        const auto text = tls::inspect(files, system_clock::now()).text;
        CHECK_THAT(text, !Contains(body) && !Contains(digits, Catch::CaseSensitive::No) && !Contains("-----BEGIN P"));
    }
}

TEST_CASE("a worrying mode of the key is told") {
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(good().certificate_pem(), good().key_pem(), cname);
    REQUIRE(::chmod(pair.key.c_str(), 0644) == 0);
    const auto report = tls::inspect(pair, system_clock::now());
    CHECK(report.usable);
    REQUIRE(marked(report.text, "WARNING").size() == 1);
    CHECK_THAT(marked(report.text, "WARNING").front(), Contains("mode 0644") && Contains("chmod 600"));
}
