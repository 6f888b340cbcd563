#include "support/certificates.hpp"
#include "tls/certificate_check.hpp"

#include <catch2/catch.hpp>
#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

namespace {

using namespace scoregate;
using namespace std::chrono_literals;
using std::chrono::system_clock;
using tests::identity_terms;
using tests::key_kind;

constexpr auto config_file = "scoregate.json";
constexpr auto cname = "www.contoso.com";

const tests::hierarchy& good() {
    static const auto made = tests::make_hierarchy();
    return made;
}

enum class form { pkcs8, traditional };

std::string key_pem(EVP_PKEY* key, form as, std::string passphrase = {}) {
    const tls::bio_ptr out{BIO_new(BIO_s_mem())};
    auto* word = reinterpret_cast<unsigned char*>(passphrase.data());
    const auto size = static_cast<int>(passphrase.size());
    const auto* cipher = passphrase.empty() ? nullptr : EVP_aes_128_cbc();
    REQUIRE((as == form::pkcs8
                 ? PEM_write_bio_PKCS8PrivateKey(out.get(), key, cipher, passphrase.data(), size, nullptr, nullptr)
                 : PEM_write_bio_PrivateKey_traditional(out.get(), key, cipher, word, size, nullptr, nullptr)) == 1);
    char* text = nullptr;
    const auto length = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(length)};
}

std::string der(X509* x509) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(x509, &bytes);
    REQUIRE(size > 0);
    const std::string text{reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size)};
    OPENSSL_free(bytes);
    return text;
}

tls::certificate_load load(const config::certificate_files& files, system_clock::time_point now = system_clock::now()) {
    auto loaded = tls::load_certificate(files, config_file, now);
    CHECK((loaded.value != nullptr) == loaded.problems.empty());
    CHECK(ERR_peek_error() == 0); // nothing is left for whoever reads the queue next
    CHECK(loaded.content == tls::read_content(files));
    return loaded;
}

// What a problem must point at and say.
struct expected {
    std::string pointer;
    std::vector<std::string> words;
};

void check_words(const std::string& text, const std::vector<std::string>& words) {
    for (const auto& word : words) CHECK_THAT(text, Catch::Contains(word));
}

void check_problems(const tls::certificate_load& loaded, const std::vector<expected>& wanted) {
    for (const auto& problem : loaded.problems) UNSCOPED_INFO(problem.pointer << ": " << problem.message);
    REQUIRE(loaded.problems.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        CHECK(loaded.problems[i].file == config_file);
        CHECK(loaded.problems[i].pointer == wanted[i].pointer);
        check_words(loaded.problems[i].message, wanted[i].words);
    }
}

// One element of `wanted` per warning: the words it must have.
void check_warnings(const tls::certificate_load& loaded, const std::vector<std::vector<std::string>>& wanted) {
    for (const auto& problem : loaded.problems) UNSCOPED_INFO(problem.pointer << ": " << problem.message);
    for (const auto& warning : loaded.warnings) UNSCOPED_INFO(warning);
    REQUIRE(loaded.value != nullptr);
    REQUIRE(loaded.warnings.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        CHECK_THAT(loaded.warnings[i], Catch::Contains("cert.pem"));
        check_words(loaded.warnings[i], wanted[i]);
    }
}

} // namespace

TEST_CASE("a full chain and its key load without a word, in every form of key") {
    struct row {
        key_kind key;
        form written;
        std::string before, label, type;
    };
    // As `openssl ecparam -genkey` writes it: the curve as a block of its own, then the key.
    const std::string parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    const auto rows = std::vector<row>{
        {key_kind::ec_p256, form::pkcs8, "", "-----BEGIN PRIVATE KEY", "ECDSA P-256"},
        {key_kind::ec_p256, form::traditional, "", "-----BEGIN EC PRIVATE KEY", "ECDSA P-256"},
        {key_kind::ec_p256, form::traditional, parameters, "-----BEGIN EC PRIVATE KEY", "ECDSA P-256"},
        {key_kind::ec_p384, form::pkcs8, "", "-----BEGIN PRIVATE KEY", "ECDSA P-384"},
        {key_kind::rsa_2048, form::pkcs8, "", "-----BEGIN PRIVATE KEY", "RSA 2048"},
        {key_kind::rsa_2048, form::traditional, "", "-----BEGIN RSA PRIVATE KEY", "RSA 2048"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.label, row.type);
        identity_terms terms;
        terms.key = row.key;
        const auto made = tests::make_hierarchy(terms);
        const tests::pem_directory directory;
        const auto key = row.before + key_pem(made.leaf.key.get(), row.written);
        REQUIRE_THAT(key, Catch::Contains(row.label));
        const auto loaded = load(directory.write_pair(made.certificate_pem(), key, cname));
        check_warnings(loaded, {});
        CHECK_FALSE(loaded.expired_or_not_yet_valid);
        CHECK(loaded.value->key_type() == row.type);
        CHECK(loaded.value->ecdsa() == row.type.starts_with("ECDSA"));
        CHECK(X509_cmp(loaded.value->leaf(), made.leaf.certificate.get()) == 0);
        CHECK(EVP_PKEY_eq(loaded.value->key(), made.leaf.key.get()) == 1);
        REQUIRE(sk_X509_num(loaded.value->chain()) == 1);
        CHECK(X509_cmp(sk_X509_value(loaded.value->chain(), 0), made.intermediate.certificate.get()) == 0);
    }
}

TEST_CASE("what a certificate says can be read") {
    identity_terms terms;
    terms.common_name = "Grüße, Contoso";
    terms.names = {"www.contoso.com", "*.models.contoso.com", "192.0.2.7", "2001:db8::7"};
    terms.not_before = system_clock::time_point{std::chrono::sys_days{std::chrono::January / 2 / 2024} + 3h};
    terms.not_after = system_clock::time_point{std::chrono::sys_days{std::chrono::March / 4 / 2051}};
    const auto made = tests::make_hierarchy(terms);
    const auto certificate = made.certificate();
    CHECK(certificate->names() == terms.names);
    CHECK(certificate->not_before() == terms.not_before);
    CHECK(certificate->not_after() == terms.not_after);
    CHECK(certificate->subject() == "CN=Grüße\\, Contoso");
    CHECK(certificate->serial().size() == 40);
    CHECK(certificate->serial().find_first_not_of("0123456789ABCDEF") == std::string::npos);
    tls::content_digest fingerprint{};
    const auto bytes = der(made.leaf.certificate.get());
    REQUIRE(EVP_Digest(bytes.data(), bytes.size(), fingerprint.data(), nullptr, EVP_sha256(), nullptr) == 1);
    CHECK(certificate->fingerprint() == fingerprint);
    CHECK(made.certificate()->serial() == certificate->serial());
    CHECK(tests::make_hierarchy(terms).certificate()->serial() != certificate->serial());
}

TEST_CASE("a date past the clock's range is its end") {
    auto made = tests::make_hierarchy();
    REQUIRE(ASN1_TIME_set_string(X509_getm_notAfter(made.leaf.certificate.get()), "99991231235959Z") == 1);
    REQUIRE(ASN1_TIME_set_string(X509_getm_notBefore(made.leaf.certificate.get()), "00010101000000Z") == 1);
    REQUIRE(X509_sign(made.leaf.certificate.get(), made.intermediate.key.get(), EVP_sha256()) > 0);
    const auto certificate = made.certificate();
    CHECK(certificate->not_after() == system_clock::time_point::max());
    CHECK(certificate->not_before() == system_clock::time_point::min());
}

TEST_CASE("files that cannot be read") {
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(good().certificate_pem(), good().key_pem(), cname);
    const auto folder = directory.path().string();
    const auto pipe = folder + "/pipe", loop = folder + "/loop";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    REQUIRE(::symlink(loop.c_str(), loop.c_str()) == 0);
    struct row {
        std::string path;
        std::vector<std::string> words;
    };
    auto rows = std::vector<row>{
        {folder + "/absent.pem", {"cannot read", "No such file or directory", "correct the path"}},
        {folder + "/cert.pem/x", {"cannot read", "Not a directory"}},
        {loop, {"cannot read", "Too many levels of symbolic links"}},
        {folder, {"cannot read", "not a regular file"}},
        {pipe, {"cannot read", "not a regular file"}},
        {directory.write("large.pem", std::string(1024 * 1024 + 1, '\n')), {"larger than 1 MiB"}},
    };
    if (::geteuid() != 0) { // root reads everything
        rows.push_back({directory.write("secret.pem", "x"), {"Permission denied", "let the user"}});
        REQUIRE(::chmod(rows.back().path.c_str(), 0) == 0);
    }
    for (auto& row : rows) {
        CAPTURE(row.path);
        row.words.push_back(row.path);
        check_problems(load({row.path, pair.key, cname}), {{"/sslCertPemFile", row.words}});
        check_problems(load({pair.certificate, row.path, cname}), {{"/sslKeyPemFile", row.words}});
    }
    // Exactly 1 MiB is read, whatever it holds.
    check_problems(load({directory.write("full.pem", std::string(1024 * 1024, '\n')), pair.key, cname}),
                   {{"/sslCertPemFile", {"not PEM"}}});
}

TEST_CASE("files that hold something else") {
    const auto certificate = good().certificate_pem(), key = good().key_pem();
    const auto unlike = [](std::string text) { return text.replace(text.find('\n') + 20, 12, "????????????"); };
    const auto request = std::string("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n");
    const auto nonsense = std::string("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    const auto bad_key = std::string("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    struct row {
        std::string name, certificate, key;
        std::vector<expected> problems;
    };
    const auto rows = std::vector<row>{
        {"empty certificate", "", key, {{"/sslCertPemFile", {"cert.pem is empty"}}}},
        {"empty key", certificate, "", {{"/sslKeyPemFile", {"key.pem is empty"}}}},
        {"text",
         "hello",
         "hello",
         {{"/sslCertPemFile", {"cert.pem is not PEM"}}, {"/sslKeyPemFile", {"key.pem is not PEM"}}}},
        {"DER certificate",
         der(good().leaf.certificate.get()),
         key,
         {{"/sslCertPemFile", {"cert.pem", "DER", "openssl x509 -inform DER -in "}}}},
        {"DER key", certificate, "\x30\x10", {{"/sslKeyPemFile", {"key.pem", "DER", "openssl pkey -inform DER -in "}}}},
        {"swapped",
         key,
         certificate,
         {{"/sslCertPemFile", {"cert.pem holds a private key but no certificate", "swapped"}},
          {"/sslKeyPemFile", {"key.pem holds a certificate but no private key", "swapped"}}}},
        {"the certificate twice", certificate, certificate, {{"/sslKeyPemFile", {"but no private key", "swapped"}}}},
        {"a request", request, key, {{"/sslCertPemFile", {"holds a CERTIFICATE REQUEST but no certificate"}}}},
        {"not X.509", certificate + nonsense, key, {{"/sslCertPemFile", {"cert.pem: certificate 3 is damaged"}}}},
        {"not a key",
         certificate,
         bad_key,
         {{"/sslKeyPemFile", {"key.pem: the PRIVATE KEY cannot be decoded", "openssl pkey"}}}},
        {"bad base64", unlike(certificate), key, {{"/sslCertPemFile", {"cert.pem: PEM block 1 is damaged"}}}},
        {"cut",
         certificate.substr(0, certificate.size() - 40),
         key,
         {{"/sslCertPemFile", {"cert.pem: PEM block 2 is damaged"}}}},
        {"cut key",
         certificate,
         key.substr(0, key.size() - 40),
         {{"/sslKeyPemFile", {"key.pem: PEM block 1 is damaged"}}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const tests::pem_directory directory;
        check_problems(load(directory.write_pair(row.certificate, row.key, cname)), row.problems);
    }
}

TEST_CASE("one file may hold both, in either order") {
    const tests::pem_directory directory;
    for (const auto& text :
         {good().certificate_pem() + good().key_pem(), good().key_pem() + good().certificate_pem()}) {
        const auto file = directory.write("both.pem", text);
        check_warnings(load({file, file, cname}), std::vector<std::vector<std::string>>{});
    }
}

TEST_CASE("a key with a passphrase is refused, not asked for") {
    identity_terms rsa;
    rsa.key = key_kind::rsa_2048;
    const auto other = tests::make_hierarchy(rsa);
    for (const auto* made : {&good(), &other})
        for (const auto as : {form::pkcs8, form::traditional}) {
            const auto text = key_pem(made->leaf.key.get(), as, "secret");
            CAPTURE(text.substr(0, 70));
            const tests::pem_directory directory;
            const auto pair = directory.write_pair(made->certificate_pem(), text, cname);
            check_problems(load(pair), {{"/sslKeyPemFile",
                                         {"key.pem is protected by a passphrase",
                                          "openssl pkey -in " + pair.key + " -out key.pem"}}});
        }
}

TEST_CASE("a key that does not match the leaf") {
    const tests::pem_directory directory;
    SECTION("another certificate's") {
        const auto key = tests::make_key(key_kind::ec_p256);
        check_problems(load(directory.write_pair(good().certificate_pem(), tls::to_pem(key.get()), cname)),
                       {{"/sslKeyPemFile", {"key.pem (ECDSA P-256) does not match", "cert.pem", "(CN=server)"}}});
    }
    SECTION("of another type") {
        const auto key = tests::make_key(key_kind::rsa_2048);
        check_problems(load(directory.write_pair(good().certificate_pem(), tls::to_pem(key.get()), cname)),
                       {{"/sslKeyPemFile", {"(RSA 2048) does not match", "(ECDSA P-256)"}}});
    }
    SECTION("the leaf is not the first certificate") {
        const auto pem = tests::to_pem({&good().intermediate, &good().leaf});
        check_problems(load(directory.write_pair(pem, good().key_pem(), cname)),
                       {{"/sslKeyPemFile", {"it matches certificate 2 (CN=server): put that one first"}},
                        {"/sslCname", {cname, "it has none"}}});
    }
}

TEST_CASE("keys and signatures too weak or not built") {
    struct row {
        std::string name;
        key_kind key;
        std::string type;
    };
    for (const auto& row : std::vector<row>{{"short RSA", key_kind::rsa_1024, "RSA 1024"},
                                            {"another curve", key_kind::ec_p521, "ECDSA secp521r1"},
                                            {"Edwards curve", key_kind::ed25519, "ED25519"}}) {
        CAPTURE(row.name);
        identity_terms terms;
        terms.key = row.key;
        const auto made = tests::make_hierarchy(terms);
        const tests::pem_directory directory;
        const std::vector<std::string> words{row.type, "RSA of at least 2048 bits", "P-256"};
        check_problems(load(directory.write_pair(made.certificate_pem(), made.key_pem(), cname)),
                       {{"/sslKeyPemFile", words}, {"/sslCertPemFile", words}});
    }

    const tests::pem_directory directory;
    identity_terms terms;
    terms.digest = EVP_sha1();
    const auto sha1 = tests::issue(terms, good().intermediate);
    const auto sha1_pem = tests::to_pem({&sha1, &good().intermediate});
    check_problems(load(directory.write_pair(sha1_pem, tls::to_pem(sha1.key.get()), cname)),
                   {{"/sslCertPemFile", {"certificate 1 (CN=server)", "SHA1", "issued anew"}}});

    terms = {};
    terms.kind = tls::certificate_kind::authority;
    terms.common_name = "Weak CA";
    terms.key = key_kind::rsa_1024;
    const auto weak = tests::issue(terms, good().root);
    const auto below = tests::issue({}, weak);
    const auto weak_pem = tests::to_pem({&below, &weak});
    check_problems(load(directory.write_pair(weak_pem, tls::to_pem(below.key.get()), cname)),
                   {{"/sslCertPemFile", {"certificate 2 (CN=Weak CA)", "RSA 1024", "another issuer"}}});
}

TEST_CASE("sslCname is held against the subject alternative names") {
    identity_terms terms;
    terms.common_name = "cn.contoso.com";
    terms.names = {"www.contoso.com", "*.models.contoso.com", "f*.contoso.com", "192.0.2.7", "2001:db8::7"};
    const auto made = tests::make_hierarchy(terms);
    const tests::pem_directory directory;
    auto pair = directory.write_pair(made.certificate_pem(), made.key_pem(), "");
    for (const auto* name : {"www.contoso.com", "WWW.Contoso.com", "iris.models.contoso.com", "192.0.2.7",
                             "2001:db8::7", "2001:0db8:0:0::0007"}) {
        CAPTURE(name);
        pair.cname = name;
        check_warnings(load(pair), {});
        CHECK(made.certificate()->covers(name));
    }
    for (const auto* name : {"contoso.com", "cn.contoso.com", "models.contoso.com", "a.b.models.contoso.com",
                             "foo.contoso.com", "www.contoso.com.evil.example", "192.0.2.8", "::1"}) {
        CAPTURE(name);
        pair.cname = name;
        CHECK_FALSE(made.certificate()->covers(name));
        check_problems(load(pair),
                       {{"/sslCname",
                         {std::string("\"") + name + "\" is not among", pair.certificate,
                          "www.contoso.com, *.models.contoso.com, f*.contoso.com, 192.0.2.7, 2001:db8::7"}}});
    }
    for (const auto& name :
         std::vector<std::string>{"", "*.models.contoso.com", ".contoso.com", "a..b", "https://www.contoso.com",
                                  "[::1]", "www.contoso.com:443", "www contoso", std::string("192.0.2.7\0", 10)}) {
        CAPTURE(name);
        pair.cname = name;
        CHECK_FALSE(made.certificate()->covers(name));
        check_problems(load(pair), {{"/sslCname", {"neither a host name nor an IP address"}}});
    }
}

TEST_CASE("a certificate without subject alternative names serves no name") {
    identity_terms terms;
    terms.common_name = cname;
    terms.names.clear();
    const auto made = tests::make_hierarchy(terms);
    const tests::pem_directory directory;
    check_problems(load(directory.write_pair(made.certificate_pem(), made.key_pem(), cname)),
                   {{"/sslCname", {"it has none; its common name does not count"}}});
}

TEST_CASE("independent problems are told together") {
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(good().certificate_pem(),
                                           key_pem(good().leaf.key.get(), form::pkcs8, "word"), "other.example");
    check_problems(load(pair), {{"/sslKeyPemFile", {"passphrase"}}, {"/sslCname", {"other.example"}}});
    check_problems(load({"/nowhere/cert.pem", "/nowhere/key.pem", "*"}), {{"/sslCertPemFile", {"/nowhere/cert.pem"}},
                                                                          {"/sslKeyPemFile", {"/nowhere/key.pem"}},
                                                                          {"/sslCname", {"\"*\""}}});
}

TEST_CASE("chains that clients may not follow are warned about") {
    identity_terms authority;
    authority.kind = tls::certificate_kind::authority;
    authority.names.clear();
    authority.common_name = "Lower CA";
    const auto lower = tests::issue(authority, good().intermediate);
    const auto deep = tests::issue({}, lower);
    authority.common_name = "Test Intermediate"; // the right name, another key
    const auto impostor = tests::issue(authority, good().root);
    identity_terms no_key_identifier; // then only the signature tells the two issuers apart
    no_key_identifier.left_out = NID_authority_key_identifier;
    const auto plain = tests::issue(no_key_identifier, good().intermediate);
    authority.common_name = "Stranger";
    const auto stranger = tests::issue_self_signed(authority);
    const auto &leaf = good().leaf, &intermediate = good().intermediate, &root = good().root;

    struct row {
        std::string name, pem;
        const tests::identity* leaf;
        std::vector<std::vector<std::string>> warnings;
    };
    const std::string append = "append the PEM of ";
    const auto rows = std::vector<row>{
        {"leaf and intermediate", tests::to_pem({&leaf, &intermediate}), &leaf, {}},
        {"with the root", tests::to_pem({&leaf, &intermediate, &root}), &leaf, {}},
        {"three deep", tests::to_pem({&deep, &lower, &intermediate}), &deep, {}},
        {"leaf alone",
         tests::to_pem({&leaf}),
         &leaf,
         {{"issuer of certificate 1 (CN=server)", append + "\"CN=Test Intermediate\""}}},
        {"a gap",
         tests::to_pem({&deep, &intermediate}),
         &deep,
         {{"issuer of certificate 1", append + "\"CN=Lower CA\""}}},
        {"a gap further up",
         tests::to_pem({&deep, &lower, &root}),
         &deep,
         {{"issuer of certificate 2 (CN=Lower CA)", append + "\"CN=Test Intermediate\""}}},
        {"issuers the wrong way round",
         tests::to_pem({&deep, &intermediate, &lower}),
         &deep,
         {{"wrong chain order", "certificate 1 (CN=server) must be followed by", "certificate 3 (CN=Lower CA)"}}},
        {"root before intermediate",
         tests::to_pem({&leaf, &root, &intermediate}),
         &leaf,
         {{"wrong chain order", "certificate 3 (CN=Test Intermediate)"}}},
        {"the leaf twice",
         tests::to_pem({&leaf, &leaf, &intermediate}),
         &leaf,
         {{"wrong chain order", "certificate 3 (CN=Test Intermediate)"}}},
        {"same name, other key", tests::to_pem({&leaf, &impostor}), &leaf, {{"issuer of certificate 1", append}}},
        {"same name, other key, told by the signature",
         tests::to_pem({&plain, &impostor}),
         &plain,
         {{"issuer of certificate 1", append}}},
        {"no key identifier", tests::to_pem({&plain, &intermediate}), &plain, {}},
        {"an unrelated root", tests::to_pem({&leaf, &stranger}), &leaf, {{"issuer of certificate 1", append}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const tests::pem_directory directory;
        check_warnings(load(directory.write_pair(row.pem, tls::to_pem(row.leaf->key.get()), cname)), row.warnings);
    }
}

TEST_CASE("a self-signed certificate is for development") {
    const auto made = tests::issue_self_signed({});
    const tests::pem_directory directory;
    check_warnings(load(directory.write_pair(tests::to_pem({&made}), tls::to_pem(made.key.get()), cname)),
                   {{"self-signed", "development only"}});
}

TEST_CASE("certificates outside of their dates") {
    const auto start = std::chrono::floor<std::chrono::seconds>(system_clock::now());
    identity_terms short_lived;
    short_lived.not_before = start;
    short_lived.not_after = start + 24h;
    identity_terms authority = short_lived;
    authority.kind = tls::certificate_kind::authority;
    authority.common_name = "Short CA";
    authority.names.clear();
    const auto short_authority = tests::issue(authority, good().root);
    const auto old_leaf = tests::issue(short_lived, good().intermediate);
    const auto old_issuer = tests::issue({}, short_authority);
    const auto leaf_pem = tests::to_pem({&old_leaf, &good().intermediate});
    const auto chain_pem = tests::to_pem({&old_issuer, &short_authority});
    const std::string early = "is not valid before", late = "expired at";

    struct row {
        std::string name, pem;
        const tests::identity* leaf;
        system_clock::time_point now;
        bool flag;
        std::vector<std::vector<std::string>> warnings;
    };
    const auto rows = std::vector<row>{
        {"leaf, first second", leaf_pem, &old_leaf, start, false, {}},
        {"leaf, last second", leaf_pem, &old_leaf, start + 24h, false, {}},
        {"leaf, before", leaf_pem, &old_leaf, start - 1s, true, {{"certificate 1 (CN=server)", early, "clock"}}},
        {"leaf, after", leaf_pem, &old_leaf, start + 24h + 1s, true, {{"certificate 1 (CN=server)", late, "renew"}}},
        {"issuer, before", chain_pem, &old_issuer, start - 1s, false, {{"certificate 2 (CN=Short CA)", early}}},
        {"issuer, after", chain_pem, &old_issuer, start + 25h, false, {{"certificate 2 (CN=Short CA)", late}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const tests::pem_directory directory;
        const auto loaded = load(directory.write_pair(row.pem, tls::to_pem(row.leaf->key.get()), cname), row.now);
        check_warnings(loaded, row.warnings);
        CHECK(loaded.expired_or_not_yet_valid == row.flag);
    }
}

TEST_CASE("a certificate for something else than servers is warned about") {
    identity_terms terms;
    terms.kind = tls::certificate_kind::authority; // keyCertSign, no digitalSignature
    const auto made = tests::issue(terms, good().intermediate);
    const tests::pem_directory directory;
    const auto pem = tests::to_pem({&made, &good().intermediate});
    check_warnings(load(directory.write_pair(pem, tls::to_pem(made.key.get()), cname)),
                   {{"not meant for TLS servers"}});
}

TEST_CASE("problems point into the object that names the pair") {
    const tests::pem_directory directory;
    auto pair = directory.write_pair("", "", "other.example");
    pair.pointer = "/certificates/0";
    check_problems(load(pair), {{"/certificates/0/sslCertPemFile", {"cert.pem is empty"}},
                                {"/certificates/0/sslKeyPemFile", {"key.pem is empty"}}});
    pair = directory.write_pair(good().certificate_pem(), good().key_pem(), "other.example");
    pair.pointer = "/certificates/1";
    check_problems(load(pair), {{"/certificates/1/sslCname", {"other.example"}}});
}

TEST_CASE("a directory holds the pair in Azure's layout or in cert-manager's") {
    enum holds { certificate, key };
    struct row {
        std::string name;
        std::vector<std::pair<std::string, holds>> files;
        std::vector<std::string> refusal; // none: it is taken
    };
    const auto other = tests::make_hierarchy();
    const auto rows = std::vector<row>{
        {"Azure's", {{"cert.pem", certificate}, {"key.pem", key}}, {}},
        {"cert-manager's", {{"tls.crt", certificate}, {"tls.key", key}, {"ca.crt", certificate}}, {}},
        {"nothing", {}, {"holds no pair", "cert.pem and key.pem", "tls.crt and tls.key"}},
        {"something else", {{"server.pem", certificate}}, {"holds no pair"}},
        {"no key", {{"cert.pem", certificate}}, {"holds cert.pem alone", "both cert.pem and key.pem"}},
        {"no certificate", {{"tls.key", key}}, {"holds tls.key alone", "both tls.crt and tls.key"}},
        {"both",
         {{"cert.pem", certificate}, {"key.pem", key}, {"tls.crt", certificate}, {"tls.key", key}},
         {"two layouts (cert.pem, key.pem, tls.crt, tls.key)", "keep either"}},
        {"one and a half",
         {{"cert.pem", certificate}, {"key.pem", key}, {"tls.crt", certificate}},
         {"two layouts (cert.pem, key.pem, tls.crt)"}},
        {"half of each", {{"cert.pem", certificate}, {"tls.key", key}}, {"two layouts (cert.pem, tls.key)"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const tests::pem_directory directory;
        for (const auto& [name, what] : row.files)
            directory.write(name, what == key ? good().key_pem() : good().certificate_pem());
        const auto folder = directory.path().string();
        const auto loaded = load({{}, {}, cname, folder, "/certificates/0"});
        if (row.refusal.empty()) {
            REQUIRE(loaded.problems.empty());
            CHECK(loaded.warnings.empty());
            CHECK(EVP_PKEY_eq(loaded.value->key(), good().leaf.key.get()) == 1);
        } else {
            auto words = row.refusal;
            words.push_back(folder);
            check_problems(loaded, {{"/certificates/0/sslSecret", words}});
        }
    }
}

TEST_CASE("problems of a pair in a directory point at the directory") {
    const tests::pem_directory directory;
    const auto folder = directory.path().string();
    const auto file = directory.write("file", "");
    const config::certificate_files pair{{}, {}, cname, folder, {}};
    check_problems(load({{}, {}, cname, file, {}}), {{"/sslSecret", {file, "is not a directory"}}});
    check_problems(load({{}, {}, cname, folder + "/absent", {}}),
                   {{"/sslSecret", {"No such file", "correct the path"}}});
    check_problems(load({{}, {}, "*", folder, {}}), {{"/sslSecret", {"holds no pair"}}, {"/sslCname", {"\"*\""}}});

    REQUIRE(::symlink("nowhere", (folder + "/tls.crt").c_str()) == 0);
    directory.write("tls.key", "");
    check_problems(load(pair), {{"/sslSecret", {"cannot read", "/tls.crt"}}, {"/sslSecret", {"/tls.key is empty"}}});

    REQUIRE(::unlink((folder + "/tls.crt").c_str()) == 0);
    directory.write("tls.crt", good().certificate_pem());
    directory.write("tls.key", tls::to_pem(tests::make_key(key_kind::ec_p256).get()));
    check_problems(load(pair), {{"/sslSecret", {"/tls.key", "does not match"}}});

    if (::geteuid() != 0) { // root searches everything
        std::filesystem::permissions(folder, std::filesystem::perms::owner_read);
        check_problems(load(pair), {{"/sslSecret", {"Permission denied", "let the user"}}});
        std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
    }
}

TEST_CASE("the digest is that of what the files hold, and of nothing else") {
    const tests::pem_directory directory;
    std::vector<tls::content_digest> seen;
    const auto changed = [&seen](const tls::content_digest& digest) {
        const bool fresh = std::find(seen.begin(), seen.end(), digest) == seen.end();
        seen.push_back(digest);
        return fresh;
    };
    const auto pair = directory.write_pair("ab", "c", cname);
    const auto first = tls::read_content(pair);
    CHECK(changed(first));
    directory.write_pair("a", "bc", cname); // the same bytes in a row
    CHECK(changed(tls::read_content(pair)));
    directory.write_pair("", "abc", cname);
    CHECK(changed(tls::read_content(pair)));
    std::filesystem::remove(pair.key);
    CHECK(changed(tls::read_content(pair)));
    std::filesystem::create_directory(pair.key);
    CHECK(changed(tls::read_content(pair))); // unreadable for another reason
    std::filesystem::remove(pair.key);
    directory.write_pair("ab", "c", cname);
    std::filesystem::permissions(pair.certificate, std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    CHECK(tls::read_content(pair) == first);

    const config::certificate_files secret{{}, {}, cname, directory.path().string(), {}};
    CHECK(changed(tls::read_content(secret)));
    std::filesystem::rename(pair.certificate, directory.path() / "tls.crt");
    CHECK(changed(tls::read_content(secret))); // half of each
    std::filesystem::rename(pair.key, directory.path() / "tls.key");
    CHECK(changed(tls::read_content(secret)));
    std::filesystem::remove(directory.path() / "tls.key");
    CHECK(changed(tls::read_content(secret)));
}

TEST_CASE("a file whose size is not known in advance is read whole") {
    constexpr auto path = "/proc/version"; // says that it is empty
    REQUIRE(std::filesystem::file_size(path) == 0);
    std::ifstream in(path);
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(whole.size() > 10);
    CHECK(tls::read_pem_file(path).text.view() == whole);
}

TEST_CASE("a key that others can read is warned about") {
    const tests::pem_directory directory;
    const auto pair = directory.write_pair(good().certificate_pem(), good().key_pem(), cname);
    const auto linked = directory.path() / "link.pem"; // links have mode 0777
    std::filesystem::create_symlink("key.pem", linked);
    struct row {
        mode_t mode;
        std::string told;
    };
    for (const auto& row : std::vector<row>{
             {0400, ""}, {0600, ""}, {0640, ""}, {0601, ""}, {0604, "0604"}, {0644, "0644"}, {0666, "0666"}}) {
        for (const auto& path : {pair.key, linked.string()}) {
            CAPTURE(row.mode, path);
            REQUIRE(::chmod(pair.key.c_str(), row.mode) == 0);
            const auto loaded = load({pair.certificate, path, cname});
            REQUIRE(loaded.value != nullptr);
            REQUIRE(loaded.warnings.size() == (row.told.empty() ? 0 : 1));
            if (!row.told.empty())
                check_words(loaded.warnings.front(),
                            {path + " has mode " + row.told, "chmod 600 " + path, "defaultMode: 0400"});
        }
    }
    REQUIRE(::chmod(pair.certificate.c_str(), 0644) == 0); // that one is public
    REQUIRE(::chmod(pair.key.c_str(), 0600) == 0);
    CHECK(load(pair).warnings.empty());
}

TEST_CASE("a key whose halves are of two keys is refused, though its public half is the certificate's") {
    struct row {
        key_kind kind;
        std::vector<std::string_view> taken;
    };
    const std::vector<std::string_view> private_numbers{
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,
        OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    for (const auto& row :
         std::vector<row>{{key_kind::ec_p256, {OSSL_PKEY_PARAM_PRIV_KEY}}, {key_kind::rsa_2048, private_numbers}}) {
        identity_terms terms;
        terms.key = row.kind;
        const auto made = tests::make_hierarchy(terms);
        const auto broken = tests::make_mixed_key(made.leaf.key.get(), tests::make_key(row.kind).get(), row.taken);
        const tests::pem_directory directory;
        check_problems(load(directory.write_pair(made.certificate_pem(), tls::to_pem(broken.get()), cname)),
                       {{"/sslKeyPemFile", {"key.pem is not consistent in itself", "copy the file again"}}});
    }
}

TEST_CASE("bytes of a name that a terminal would act on are told as numbers") {
    identity_terms terms;
    terms.names = {"a\x1b[2J.example", "b\n.example"};
    const auto made = tests::make_hierarchy(terms);
    const tests::pem_directory directory;
    check_problems(load(directory.write_pair(made.certificate_pem(), made.key_pem(), cname)),
                   {{"/sslCname", {"(a\\x1B[2J.example, b\\x0A.example)"}}});
}
