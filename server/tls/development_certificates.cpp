#include "tls/development_certificates.hpp"

#include "tls/certificate_check.hpp"

#include <openssl/pem.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace scoregate::tls {

namespace {

namespace fs = std::filesystem;

void require(bool succeeded, const char* what) {
    if (!succeeded) throw std::runtime_error(std::string("cannot ") + what + ": " + openssl_errors());
}

// RFC 5280 4.1.2.2: positive, at most 20 octets. 159 bits with the highest set are both, and never twice the same.
void set_random_serial(X509* x509) {
    const bignum_ptr number{BN_new()};
    require(number && BN_rand(number.get(), 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) != nullptr,
            "make a serial number");
}

void set_dates(X509* x509, const certificate_terms& terms) {
    using std::chrono::system_clock;
    require(ASN1_TIME_set(X509_getm_notBefore(x509), system_clock::to_time_t(terms.not_before)) != nullptr &&
                ASN1_TIME_set(X509_getm_notAfter(x509), system_clock::to_time_t(terms.not_after)) != nullptr,
            "set the dates");
}

void add_extension(X509* x509, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
    const x509_extension_ptr extension{X509V3_EXT_nconf_nid(nullptr, &context, nid, value)};
    require(extension && X509_add_ext(x509, extension.get(), -1) == 1, "add an extension");
}

general_name_ptr to_general_name(const std::string& name) {
    general_name_ptr general{GENERAL_NAME_new()};
    require(general != nullptr, "make a name");
    if (auto* address = a2i_IPADDRESS(name.c_str())) {
        GENERAL_NAME_set0_value(general.get(), GEN_IPADD, address);
        return general;
    }
    auto* text = ASN1_IA5STRING_new();
    require(text != nullptr && ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())) == 1, "make a name");
    GENERAL_NAME_set0_value(general.get(), GEN_DNS, text);
    return general;
}

// Built name by name: X509V3_EXT_nconf_nid would take a comma in a name as the start of another.
void add_names(X509* x509, const std::vector<std::string>& names) {
    if (names.empty()) return;
    const general_names_ptr list{GENERAL_NAMES_new()};
    for (const auto& name : names) {
        auto general = to_general_name(name);
        require(sk_GENERAL_NAME_push(list.get(), general.get()) > 0, "add a name");
        static_cast<void>(general.release()); // the list's now
    }
    require(X509_add1_ext_i2d(x509, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1, "add the names");
}

std::string to_text(BIO* memory) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory, &text);
    return {text, static_cast<std::size_t>(size)};
}

[[noreturn]] void fail(const fs::path& path, int error) {
    throw std::runtime_error("cannot write " + path.string() + ": " + std::strerror(error));
}

// A key is readable by others at no moment: a new file is created exclusively and with its mode, an existing one is
// replaced by renaming such a file over it.
void write_file(const fs::path& path, std::string_view text, mode_t mode, bool overwrite) {
    const fs::path target = overwrite ? fs::path(path.string() + ".new") : path;
    if (overwrite) ::unlink(target.c_str()); // left by a run that was killed
    const int file = ::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0) fail(target, errno);
    int error = 0;
    while (!text.empty() && error == 0) {
        const auto written = ::write(file, text.data(), text.size());
        if (written >= 0)
            text.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            error = errno;
    }
    if (::close(file) != 0 && error == 0) error = errno;
    if (error == 0 && overwrite && ::rename(target.c_str(), path.c_str()) != 0) error = errno;
    if (error == 0) return;
    ::unlink(target.c_str());
    fail(path, error);
}

} // namespace

std::string to_pem(X509* x509) {
    const bio_ptr out{BIO_new(BIO_s_mem())};
    require(PEM_write_bio_X509(out.get(), x509) == 1, "write a certificate");
    return to_text(out.get());
}

std::string to_pem(EVP_PKEY* key) {
    const bio_ptr out{BIO_new(BIO_s_mem())};
    require(PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "write a key");
    return to_text(out.get());
}

x509_ptr issue_certificate(const certificate_terms& terms, EVP_PKEY* subject_key, const certificate_issuer& issuer) {
    ERR_clear_error();
    x509_ptr owner{X509_new()};
    X509* x509 = owner.get();
    require(x509 != nullptr && X509_set_version(x509, X509_VERSION_3) == 1, "make a certificate");
    X509* issuing = issuer.certificate != nullptr ? issuer.certificate : x509;

    set_random_serial(x509);
    set_dates(x509, terms);
    require(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(terms.common_name.data()),
                                       static_cast<int>(terms.common_name.size()), -1, 0) == 1,
            "set the subject");
    require(X509_set_issuer_name(x509, X509_get_subject_name(issuing)) == 1, "set the issuer");
    require(X509_set_pubkey(x509, subject_key) == 1, "set the key");

    const bool authority = terms.kind == certificate_kind::authority;
    add_extension(x509, issuing, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(x509, issuing, NID_key_usage,
                  authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    add_extension(x509, issuing, NID_subject_key_identifier, "hash");
    add_extension(x509, issuing, NID_authority_key_identifier, "keyid:always");
    if (!authority) add_extension(x509, issuing, NID_ext_key_usage, "serverAuth");
    add_names(x509, terms.names);
    require(X509_sign(x509, issuer.key, EVP_sha256()) > 0, "sign");
    return owner;
}

development_certificates make_development_certificates(const fs::path& directory, const std::string& cname,
                                                       unsigned days, bool overwrite) {
    if (!valid_cname(cname))
        throw std::runtime_error("\"" + cname +
                                 "\" is neither a host name nor an IP address; give the name that clients use");
    if (days < 1 || days > 36500) throw std::runtime_error("the number of days must be from 1 to 36500");

    development_certificates made{directory / "ca.pem", directory / "cert.pem", directory / "key.pem", {cname}};
    if (cname == "localhost") made.names.insert(made.names.end(), {"127.0.0.1", "::1"});
    if (!overwrite)
        for (const auto& path : {made.authority, made.certificate, made.key})
            if (fs::exists(fs::symlink_status(path)))
                throw std::runtime_error(path.string() + " exists; allow overwriting, or choose another directory");

    const pkey_ptr authority_key{EVP_EC_gen("P-256")}, key{EVP_EC_gen("P-256")};
    require(authority_key && key, "make a key");
    const auto now = std::chrono::system_clock::now();
    certificate_terms terms{certificate_kind::authority,
                            "scoregate development CA",
                            {},
                            now - std::chrono::hours(1),
                            now + std::chrono::days(days)};
    const auto authority = issue_certificate(terms, authority_key.get(), {nullptr, authority_key.get()});
    terms.kind = certificate_kind::server;
    terms.common_name = "scoregate development server"; // the names count; a host name may be too long for this
    terms.names = made.names;
    const auto leaf = issue_certificate(terms, key.get(), {authority.get(), authority_key.get()});

    fs::create_directories(directory);
    write_file(made.key, to_pem(key.get()), 0600, overwrite);
    write_file(made.certificate, to_pem(leaf.get()) + to_pem(authority.get()), 0644, overwrite);
    write_file(made.authority, to_pem(authority.get()), 0644, overwrite);
    return made;
}

bool has_development_certificates(const fs::path& directory) {
    return fs::exists(directory / "ca.pem") && fs::exists(directory / "cert.pem") && fs::exists(directory / "key.pem");
}

} // namespace scoregate::tls
