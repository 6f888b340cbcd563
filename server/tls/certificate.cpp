#include "tls/certificate.hpp"

#include <openssl/pem.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace scoregate::tls {

namespace {

constexpr std::size_t max_file_size = 1024 * 1024;
constexpr int min_security_bits = 112; // NIST SP 800-57: RSA 2048, SHA-224 and up; OpenSSL's security level 2

constexpr auto certificate_pointer = "/sslCertPemFile";
constexpr auto key_pointer = "/sslKeyPemFile";
constexpr auto cname_pointer = "/sslCname";

// A file that cannot be used; what() names it, the reason and the remedy.
struct unusable_file : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// ---- certificates and keys as text -------------------------------------------------------------------------------

// Dates outside of the clock's range (RFC 5280 4.1.2.5: 99991231235959Z means no expiry) become its ends. One that is
// no date at all becomes the epoch: an expired certificate.
certificate::time_point to_time_point(const ASN1_TIME* time) {
    using std::chrono::seconds;
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
    const seconds since_epoch{timegm(&parts)};
    if (since_epoch >= std::chrono::floor<seconds>(certificate::time_point::max().time_since_epoch()))
        return certificate::time_point::max();
    if (since_epoch <= std::chrono::ceil<seconds>(certificate::time_point::min().time_since_epoch()))
        return certificate::time_point::min();
    return certificate::time_point{since_epoch};
}

std::string to_text(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable date";
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string to_text(const X509_NAME* name) {
    const bio_ptr out{BIO_new(BIO_s_mem())};
    X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

std::string serial_of(const X509* x509) {
    const bignum_ptr number{ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), nullptr)};
    char* hex = BN_bn2hex(number.get());
    std::string text = hex != nullptr ? hex : "";
    OPENSSL_free(hex);
    return text;
}

// How messages name a certificate: "certificate 2 (CN=Contoso CA)", counted from 1 as in the file.
std::string to_text(std::size_t index, const X509* x509) {
    const auto subject = to_text(X509_get_subject_name(x509));
    return "certificate " + std::to_string(index + 1) + " (" +
           (subject.empty() ? "serial " + serial_of(x509) : subject) + ")";
}

std::string key_type_of(const EVP_PKEY* key) {
    if (key == nullptr) return "unknown";
    if (EVP_PKEY_is_a(key, "RSA")) return "RSA " + std::to_string(EVP_PKEY_get_bits(key));
    if (!EVP_PKEY_is_a(key, "EC")) return EVP_PKEY_get0_type_name(key);
    char group[80] = "of unnamed parameters";
    EVP_PKEY_get_group_name(key, group, sizeof group, nullptr);
    if (std::string_view{group} == "prime256v1") return "ECDSA P-256";
    if (std::string_view{group} == "secp384r1") return "ECDSA P-384";
    return std::string("ECDSA ") + group;
}

bool supported(const EVP_PKEY* key) {
    const auto type = key_type_of(key);
    if (type.starts_with("RSA ")) return EVP_PKEY_get_bits(key) >= 2048;
    return type == "ECDSA P-256" || type == "ECDSA P-384";
}

std::vector<std::string> names_of(const X509* x509) {
    std::vector<std::string> names;
    const general_names_ptr list{
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr))};
    for (int i = 0; i < sk_GENERAL_NAME_num(list.get()); ++i) {
        int type = 0;
        const auto* value =
            static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list.get(), i), &type));
        if (type != GEN_DNS && type != GEN_IPADD) continue;
        const auto* data = ASN1_STRING_get0_data(value);
        const auto size = ASN1_STRING_length(value);
        if (type == GEN_DNS) {
            names.emplace_back(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
        } else if (size == 4 || size == 16) {
            char text[INET6_ADDRSTRLEN];
            names.emplace_back(inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof text));
        }
    }
    return names;
}

bool ip_literal(const std::string& name) { return ip_address_ptr{a2i_IPADDRESS(name.c_str())} != nullptr; }

// RFC 6125 6.4: the SANs alone, a wildcard only as the whole left-most label, never the common name.
bool covers(X509* leaf, const std::string& cname) {
    constexpr unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    if (ip_literal(cname)) return X509_check_ip_asc(leaf, cname.c_str(), flags) == 1;
    return X509_check_host(leaf, cname.data(), cname.size(), flags, nullptr) == 1;
}

bool self_signed(X509* x509) { return (X509_get_extension_flags(x509) & EXFLAG_SS) != 0; }

bool issued_by(X509* subject, X509* issuer) {
    return X509_check_issued(issuer, subject) == X509_V_OK && X509_verify(subject, X509_get0_pubkey(issuer)) == 1;
}

// ---- files -------------------------------------------------------------------------------------------------------

struct file_descriptor {
    int value;
    ~file_descriptor() {
        if (value >= 0) ::close(value);
    }
};

// Bytes that may be a private key: wiped when done with.
struct secret_bytes {
    std::string value;
    ~secret_bytes() { OPENSSL_cleanse(value.data(), value.size()); }
};

unusable_file unreadable(const std::string& path, int error) {
    const auto remedy = error == ENOENT   ? "; correct the path"
                        : error == EACCES ? "; let the user that scoregate runs as read it"
                                          : "; check the path and what is there";
    return unusable_file("cannot read " + path + ": " + std::strerror(error) + remedy);
}

void read_file(const std::string& path, std::string& out) {
    // Non-blocking, so that a pipe in the file's place cannot hold up the start.
    const file_descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (file.value < 0 || ::fstat(file.value, &status) != 0) throw unreadable(path, errno);
    if (!S_ISREG(status.st_mode))
        throw unusable_file("cannot read " + path + ": it is not a regular file; name the PEM file itself");
    out.resize(max_file_size + 1);
    std::size_t size = 0;
    while (size < out.size()) {
        const auto got = ::read(file.value, out.data() + size, out.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw unreadable(path, errno);
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    if (size > max_file_size)
        throw unusable_file(path + " is larger than 1 MiB, which no PEM chain or key is; name the right file");
    out.resize(size);
}

struct pem_data_deleter {
    std::size_t size = 0;
    void operator()(void* data) const noexcept { OPENSSL_secure_clear_free(data, size); }
};

struct pem_block {
    std::string label; // "CERTIFICATE", "RSA PRIVATE KEY", ...
    bool encrypted = false;
    std::unique_ptr<unsigned char, pem_data_deleter> der;

    std::size_t size() const { return der.get_deleter().size; }
    bool is_certificate() const { return label == PEM_STRING_X509 || label == PEM_STRING_X509_OLD; }
    bool is_key() const { return label.ends_with("PRIVATE KEY"); }
};

std::vector<pem_block> parse_pem(const std::string& path, const std::string& text) {
    ERR_clear_error();
    std::vector<pem_block> blocks;
    const bio_ptr in{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    char *label = nullptr, *header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    while (PEM_read_bio_ex(in.get(), &label, &header, &der, &size, PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
        // RFC 1421 4.6.1.1 "Proc-Type: 4,ENCRYPTED" of the traditional form, and the label of PKCS#8's.
        const bool encrypted =
            std::strstr(header, "ENCRYPTED") != nullptr || std::strstr(label, "ENCRYPTED") != nullptr;
        blocks.push_back({label, encrypted, {der, pem_data_deleter{static_cast<std::size_t>(size)}}});
        OPENSSL_secure_free(label);
        OPENSSL_secure_free(header);
    }
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    const auto reasons = openssl_errors();
    if (!at_end)
        throw unusable_file(path + ": PEM block " + std::to_string(blocks.size() + 1) + " is damaged (" + reasons +
                            "); copy the file again");
    return blocks;
}

// What to say of a file without the wanted block; `command` converts to PEM.
unusable_file without(const std::string& wanted, const std::string& other, const std::string& path,
                      const std::string& text, const std::vector<pem_block>& blocks, const std::string& command) {
    if (text.empty()) return unusable_file(path + " is empty; it must hold the " + wanted + " in PEM");
    if (blocks.empty() && text.front() == 0x30) // an ASN.1 SEQUENCE, as DER and PKCS#12 begin
        return unusable_file(path + " is not PEM but looks like DER or PKCS#12; convert it: " + command);
    if (blocks.empty())
        return unusable_file(path + " is not PEM (no -----BEGIN line); it must hold the " + wanted + " in PEM");
    // The wanted one is not among the blocks, so any of the two is the other one.
    const bool swapped =
        std::any_of(blocks.begin(), blocks.end(), [](const auto& b) { return b.is_certificate() || b.is_key(); });
    if (swapped)
        return unusable_file(path + " holds a " + other + " but no " + wanted +
                             "; are sslCertPemFile and sslKeyPemFile swapped?");
    return unusable_file(path + " holds a " + blocks.front().label + " but no " + wanted + "; name the right file");
}

// In the file's order; never empty.
std::vector<x509_ptr> read_certificates(const std::string& path) {
    secret_bytes text; // a combined file holds the key too
    read_file(path, text.value);
    const auto blocks = parse_pem(path, text.value);
    std::vector<x509_ptr> certificates;
    for (const auto& block : blocks) {
        if (!block.is_certificate()) continue;
        const unsigned char* at = block.der.get();
        certificates.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(block.size())));
        if (!certificates.back())
            throw unusable_file(path + ": certificate " + std::to_string(certificates.size()) + " is damaged (" +
                                openssl_errors() + "); copy the file again");
    }
    if (certificates.empty())
        throw without("certificate", "private key", path, text.value, blocks,
                      "openssl x509 -inform DER -in " + path + " -out cert.pem, or openssl pkcs12 -nokeys -in " + path +
                          " -out cert.pem");
    return certificates;
}

pkey_ptr read_key(const std::string& path) {
    secret_bytes text;
    read_file(path, text.value);
    const auto blocks = parse_pem(path, text.value);
    const auto block = std::find_if(blocks.begin(), blocks.end(), [](const auto& b) { return b.is_key(); });
    if (block == blocks.end())
        throw without("private key", "certificate", path, text.value, blocks,
                      "openssl pkey -inform DER -in " + path + " -out key.pem, or openssl pkcs12 -nocerts -nodes -in " +
                          path + " -out key.pem");
    if (block->encrypted)
        throw unusable_file(path +
                            " is protected by a passphrase, which a server cannot be asked for; remove it: "
                            "openssl pkey -in " +
                            path + " -out key.pem");
    const unsigned char* at = block->der.get();
    pkey_ptr key{d2i_AutoPrivateKey_ex(nullptr, &at, static_cast<long>(block->size()), nullptr, nullptr)};
    const auto reasons = openssl_errors();
    if (!key)
        throw unusable_file(path + ": the " + block->label + " cannot be decoded (" + reasons +
                            "); convert it to PKCS#8: openssl pkey -in " + path + " -out key.pem");
    return key;
}

// ---- checks ------------------------------------------------------------------------------------------------------

// One run of load_certificate: gathers what is wrong with the pair.
class pair_check {
public:
    pair_check(const config::certificate_files& files, const std::string& config_file, certificate::time_point now)
        : files_(files), config_file_(config_file), now_(now) {}

    certificate_load run() {
        try {
            certificates_ = read_certificates(files_.certificate);
        } catch (const unusable_file& reason) {
            refuse(certificate_pointer, reason.what());
        }
        try {
            key_ = read_key(files_.key);
        } catch (const unusable_file& reason) {
            refuse(key_pointer, reason.what());
        }
        if (key_) check_key();
        if (!certificates_.empty()) {
            check_strength();
            check_chain();
            check_dates();
            check_purpose();
        }
        check_cname();
        ERR_clear_error(); // probing leaves reasons behind that the next reader of the queue must not see
        if (result_.problems.empty()) result_.value = build();
        return std::move(result_);
    }

private:
    void refuse(const char* pointer, std::string message) {
        result_.problems.push_back({config_file_, pointer, std::move(message)});
    }
    void warn(const std::string& message) { result_.warnings.push_back(files_.certificate + ": " + message); }

    void refuse_type(const char* pointer, const std::string& path, const EVP_PKEY* key) {
        refuse(pointer, path + " is for a key of type " + key_type_of(key) +
                            "; use RSA of at least 2048 bits, or ECDSA on P-256 or P-384");
    }

    void check_key() {
        if (!supported(key_.get())) return refuse_type(key_pointer, files_.key, key_.get());
        if (certificates_.empty() || X509_check_private_key(certificates_.front().get(), key_.get()) == 1) return;
        auto message = files_.key + " (" + key_type_of(key_.get()) + ") does not match " + files_.certificate + ", " +
                       to_text(0, certificates_.front().get()) + " (" +
                       key_type_of(X509_get0_pubkey(certificates_.front().get())) + "); ";
        for (std::size_t i = 1; i < certificates_.size(); ++i)
            if (X509_check_private_key(certificates_[i].get(), key_.get()) == 1)
                return refuse(key_pointer,
                              message + "it matches " + to_text(i, certificates_[i].get()) + ": put that one first");
        refuse(key_pointer, message + "use the key that this certificate was requested with");
    }

    // What OpenSSL's security level 2 would refuse when the context is made, told by file instead.
    void check_strength() {
        const auto* leaf_key = X509_get0_pubkey(certificates_.front().get());
        if (!supported(leaf_key)) refuse_type(certificate_pointer, files_.certificate, leaf_key);
        for (std::size_t i = 0; i < certificates_.size(); ++i) {
            X509* x509 = certificates_[i].get();
            int digest = NID_undef, bits = 0;
            X509_get_signature_info(x509, &digest, nullptr, &bits, nullptr);
            if (!self_signed(x509) && bits < min_security_bits)
                refuse(certificate_pointer, files_.certificate + ": " + to_text(i, x509) + " is signed with " +
                                                OBJ_nid2sn(digest) + ", which clients refuse; have it issued anew");
            const auto* key = X509_get0_pubkey(x509);
            if (i > 0 && (key == nullptr || EVP_PKEY_get_security_bits(key) < min_security_bits))
                refuse(certificate_pointer, files_.certificate + ": " + to_text(i, x509) + " has a key of type " +
                                                key_type_of(key) + ", which clients refuse; use another issuer");
        }
    }

    // RFC 5246 7.4.2: the leaf first, each following certificate certifies the one before, the root may be left out.
    // Only the first break is told: what comes after it has no order to be held against.
    void check_chain() {
        const auto& all = certificates_;
        if (self_signed(all.front().get()))
            return warn("it is self-signed, for development only; clients must be told to trust it. Get one from a "
                        "certificate authority");
        for (std::size_t i = 0; i < all.size() && !self_signed(all[i].get()); ++i) {
            X509* x509 = all[i].get();
            const bool last = i + 1 == all.size();
            if (!last && issued_by(x509, all[i + 1].get())) continue;
            const auto issuer = std::find_if(all.begin(), all.end(), [&](const auto& candidate) {
                return candidate.get() != x509 && issued_by(x509, candidate.get());
            });
            if (issuer != all.end())
                return warn("wrong chain order: " + to_text(i, x509) + " must be followed by its issuer, which is " +
                            to_text(static_cast<std::size_t>(issuer - all.begin()), issuer->get()) +
                            "; put the leaf first and each issuer after what it issued");
            if (last && i > 0) return; // its issuer is the root, which clients have
            return warn("the issuer of " + to_text(i, x509) +
                        " is missing, so clients that do not have it will refuse "
                        "to connect; append the PEM of \"" +
                        to_text(X509_get_issuer_name(x509)) + "\" after it");
        }
    }

    void check_dates() {
        for (std::size_t i = 0; i < certificates_.size(); ++i) {
            const X509* x509 = certificates_[i].get();
            const auto *from = X509_get0_notBefore(x509), *until = X509_get0_notAfter(x509);
            const bool early = now_ < to_time_point(from);
            const bool late = now_ > to_time_point(until);
            if (early)
                warn(to_text(i, x509) + " is not valid before " + to_text(from) +
                     ", so clients refuse to connect; check this machine's clock, or wait");
            if (late)
                warn(to_text(i, x509) + " expired at " + to_text(until) + ", so clients refuse to connect; renew it");
            if (i == 0) result_.expired_or_not_yet_valid = early || late;
        }
    }

    void check_purpose() {
        if (X509_check_purpose(certificates_.front().get(), X509_PURPOSE_SSL_SERVER, 0) != 1)
            warn(to_text(0, certificates_.front().get()) +
                 " is not meant for TLS servers (key usage), so clients "
                 "refuse to connect; have it issued with digitalSignature and serverAuth");
    }

    void check_cname() {
        if (!valid_cname(files_.cname))
            return refuse(cname_pointer,
                          "\"" + files_.cname +
                              "\" is neither a host name nor an IP address; give the name that clients use");
        if (certificates_.empty() || covers(certificates_.front().get(), files_.cname)) return;
        std::string names;
        for (const auto& name : names_of(certificates_.front().get())) names += (names.empty() ? "" : ", ") + name;
        refuse(cname_pointer, "\"" + files_.cname + "\" is not among the subject alternative names of " +
                                  files_.certificate + " (" +
                                  (names.empty() ? "it has none; its common name does not count" : names) +
                                  "); set sslCname to a name it covers, or use a certificate for this one");
    }

    std::shared_ptr<const certificate> build() {
        x509_stack_ptr chain{sk_X509_new_null()};
        for (std::size_t i = 1; i < certificates_.size(); ++i) {
            if (sk_X509_push(chain.get(), certificates_[i].get()) == 0) throw std::bad_alloc();
            static_cast<void>(certificates_[i].release()); // the stack's now
        }
        return std::make_shared<const certificate>(std::move(certificates_.front()), std::move(chain), std::move(key_));
    }

    const config::certificate_files& files_;
    const std::string& config_file_;
    certificate::time_point now_;
    std::vector<x509_ptr> certificates_;
    pkey_ptr key_;
    certificate_load result_;
};

} // namespace

certificate::certificate(x509_ptr leaf, x509_stack_ptr chain, pkey_ptr key)
    : leaf_(std::move(leaf)),
      chain_(std::move(chain)),
      key_(std::move(key)),
      names_(names_of(leaf_.get())),
      not_before_(to_time_point(X509_get0_notBefore(leaf_.get()))),
      not_after_(to_time_point(X509_get0_notAfter(leaf_.get()))),
      serial_(serial_of(leaf_.get())),
      subject_(to_text(X509_get_subject_name(leaf_.get()))),
      key_type_(key_type_of(key_.get())) {}

certificate_load load_certificate(const config::certificate_files& files, const std::string& config_file,
                                  certificate::time_point now) {
    return pair_check(files, config_file, now).run();
}

bool valid_cname(std::string_view name) {
    if (name.find('\0') != name.npos) return false; // OpenSSL would read an address only up to there
    if (ip_literal(std::string(name))) return true;
    if (name.empty() || name.size() > 253 || name.front() == '.' || name.find("..") != name.npos) return false;
    return std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    });
}

} // namespace scoregate::tls
