#include "tls/certificate_check.hpp"

#include "base/give_way.hpp"
#include "tls/x509_facts.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>
#include <utility>

namespace scoregate::tls {

namespace {

constexpr int min_security_bits = 112; // NIST SP 800-57: RSA 2048, SHA-224 and up; OpenSSL's security level 2

using digest_context_ptr = std::unique_ptr<EVP_MD_CTX, openssl_deleter<EVP_MD_CTX_free>>;
using key_context_ptr = std::unique_ptr<EVP_PKEY_CTX, openssl_deleter<EVP_PKEY_CTX_free>>;

// How messages name a certificate: "certificate 2 (CN=Contoso CA)", counted from 1 as in the file.
std::string numbered(std::size_t index, const X509* x509) {
    const auto subject = to_text(X509_get_subject_name(x509));
    return "certificate " + std::to_string(index + 1) + " (" +
           (subject.empty() ? "serial " + serial_of(x509) : subject) + ")";
}

bool supported(const EVP_PKEY* key) {
    const auto type = key_type_of(key);
    if (type.starts_with("RSA ")) return EVP_PKEY_get_bits(key) >= 2048;
    return type == "ECDSA P-256" || type == "ECDSA P-384";
}

// Whether the private half belongs to the public one: matching a certificate looks at the public half alone.
bool verifies_what_it_signs(EVP_PKEY* key) {
    constexpr std::array<unsigned char, 5> message{'p', 'r', 'o', 'o', 'f'};
    const bool hashed = EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "EC") == 1;
    const auto* digest = hashed ? EVP_sha256() : nullptr; // Edwards curves bring their own
    const digest_context_ptr sign{EVP_MD_CTX_new()}, verify{EVP_MD_CTX_new()};
    if (!sign || !verify) throw std::bad_alloc();
    std::vector<unsigned char> signature(static_cast<std::size_t>(std::max(EVP_PKEY_get_size(key), 0)));
    auto size = signature.size();
    return EVP_DigestSignInit(sign.get(), nullptr, digest, nullptr, key) == 1 &&
           EVP_DigestSign(sign.get(), signature.data(), &size, message.data(), message.size()) == 1 &&
           EVP_DigestVerifyInit(verify.get(), nullptr, digest, nullptr, key) == 1 &&
           EVP_DigestVerify(verify.get(), signature.data(), size, message.data(), message.size()) == 1;
}

bool sound_arithmetic(EVP_PKEY* key) {
    const key_context_ptr context{EVP_PKEY_CTX_new(key, nullptr)};
    if (!context) throw std::bad_alloc();
    return EVP_PKEY_check(context.get()) == 1;
}

// One run of examine().
class examination {
public:
    examination(const config::certificate_files& files, certificate::time_point now, key_trial trial, pace how)
        : cname_(files.cname), now_(now), trial_(trial), pace_(how), result_{read_pem_pair(files), {}, {}, {}} {}

    examined_pair run() && {
        decode();
        give_way();
        if (result_.key) check_key();
        give_way();
        if (!certificates().empty()) {
            if (result_.key) check_match();
            check_strength();
            check_chain();
            give_way();
            check_dates();
            check_purpose();
        }
        check_cname();
        ERR_clear_error(); // probing leaves reasons behind that the next reader of the queue must not see
        return std::move(result_);
    }

private:
    void give_way() const {
        if (pace_ == pace::giving_way) base::give_way();
    }

    const std::vector<x509_ptr>& certificates() const { return result_.certificates; }
    const std::string& certificate_path() const { return result_.source.certificate.path; }
    const std::string& key_path() const { return result_.source.key.path; }

    void refuse(check by, std::string message) { result_.findings.push_back({by, true, std::move(message)}); }
    void warn(check by, std::string message) { result_.findings.push_back({by, false, std::move(message)}); }

    void decode() {
        const auto &certificate = result_.source.certificate, &key = result_.source.key;
        if (!result_.source.unclear.empty()) return refuse(check::layout, result_.source.unclear);
        try {
            if (!certificate.got) throw unusable_file(certificate.reason);
            result_.certificates = parse_certificates(certificate.path, certificate.got->text.view());
        } catch (const unusable_file& reason) {
            refuse(check::certificate_file, reason.what());
        }
        give_way();
        try {
            if (!key.got) throw unusable_file(key.reason);
            result_.key = parse_key(key.path, key.got->text.view());
        } catch (const unusable_file& reason) {
            refuse(check::key_file, reason.what());
        }
    }

    void refuse_type(check by, const std::string& path, const EVP_PKEY* key) {
        refuse(by, path + " is for a key of type " + key_type_of(key) +
                       "; use RSA of at least 2048 bits, or ECDSA on P-256 or P-384");
    }

    void check_key() {
        EVP_PKEY* key = result_.key.get();
        if (const auto mode = result_.source.key.got->mode; (mode & S_IROTH) != 0) {
            std::array<char, 16> octal{};
            std::snprintf(octal.data(), octal.size(), "%04o", static_cast<unsigned>(mode));
            warn(check::key_mode, key_path() + " has mode " + octal.data() +
                                      ", so every user of this machine can read the private key; chmod 600 " +
                                      key_path() + ", or defaultMode: 0400 where Kubernetes mounts the secret");
        }
        if (!verifies_what_it_signs(key))
            refuse(check::key_soundness, key_path() + " is not consistent in itself: its public half does not verify "
                                                      "what its private half signs; copy the file again, or have a "
                                                      "certificate issued for a new key");
        else if (trial_ == key_trial::arithmetic && !sound_arithmetic(key))
            warn(check::key_soundness, key_path() + " signs, but its numbers do not fit together (openssl pkey -in " +
                                           key_path() +
                                           " -check -noout); copy the file again, or have a certificate "
                                           "issued for a new key");
        if (!supported(key)) refuse_type(check::key_type, key_path(), key);
    }

    void check_match() {
        const EVP_PKEY* key = result_.key.get();
        const auto belongs = [key](const x509_ptr& x509) {
            return EVP_PKEY_eq(X509_get0_pubkey(x509.get()), key) == 1;
        };
        const auto first = std::find_if(certificates().begin(), certificates().end(), belongs);
        if (first == certificates().begin()) return;
        const X509* leaf = certificates().front().get();
        const auto remedy = first == certificates().end()
                                ? "use the key that this certificate was requested with"
                                : "it matches " +
                                      numbered(static_cast<std::size_t>(first - certificates().begin()), first->get()) +
                                      ": put that one first";
        refuse(check::key_match, key_path() + " (" + key_type_of(key) + ") does not match " + certificate_path() +
                                     ", " + numbered(0, leaf) + " (" + key_type_of(X509_get0_pubkey(leaf)) + "); " +
                                     remedy);
    }

    // What OpenSSL's security level 2 would refuse when the context is made, told by file instead.
    void check_strength() {
        const auto* leaf_key = X509_get0_pubkey(certificates().front().get());
        if (!supported(leaf_key)) refuse_type(check::strength, certificate_path(), leaf_key);
        for (std::size_t i = 0; i < certificates().size(); ++i) {
            X509* x509 = certificates()[i].get();
            int bits = 0;
            X509_get_signature_info(x509, nullptr, nullptr, &bits, nullptr);
            if (!self_signed(x509) && bits < min_security_bits)
                refuse(check::strength, certificate_path() + ": " + numbered(i, x509) + " is signed with " +
                                            signature_digest_of(x509) + ", which clients refuse; have it issued anew");
            const auto* key = X509_get0_pubkey(x509);
            if (i > 0 && (key == nullptr || EVP_PKEY_get_security_bits(key) < min_security_bits))
                refuse(check::strength, certificate_path() + ": " + numbered(i, x509) + " has a key of type " +
                                            key_type_of(key) + ", which clients refuse; use another issuer");
        }
    }

    void warn_of_chain(const std::string& message) { warn(check::chain, certificate_path() + ": " + message); }

    // RFC 5246 7.4.2: the leaf first, each following certificate certifies the one before, the root may be left out.
    // Only the first break is told: what comes after it has no order to be held against.
    void check_chain() {
        const auto& all = certificates();
        if (self_signed(all.front().get()))
            return warn_of_chain("it is self-signed, for development only; clients must be told to trust it. Get one "
                                 "from a certificate authority");
        for (std::size_t i = 0; i < all.size() && !self_signed(all[i].get()); ++i) {
            X509* x509 = all[i].get();
            const bool last = i + 1 == all.size();
            if (!last && issued_by(x509, all[i + 1].get())) continue;
            const auto issuer = std::find_if(all.begin(), all.end(), [&](const auto& candidate) {
                return candidate.get() != x509 && issued_by(x509, candidate.get());
            });
            if (issuer != all.end())
                return warn_of_chain("wrong chain order: " + numbered(i, x509) +
                                     " must be followed by its issuer, which is " +
                                     numbered(static_cast<std::size_t>(issuer - all.begin()), issuer->get()) +
                                     "; put the leaf first and each issuer after what it issued");
            if (last && i > 0) return; // its issuer is the root, which clients have
            result_.chain_incomplete = true;
            return warn_of_chain("the issuer of " + numbered(i, x509) +
                                 " is missing, so clients that do not have it will refuse to connect; append the PEM "
                                 "of \"" +
                                 to_text(X509_get_issuer_name(x509)) + "\" after it");
        }
    }

    void check_dates() {
        for (std::size_t i = 0; i < certificates().size(); ++i) {
            const X509* x509 = certificates()[i].get();
            const auto *from = X509_get0_notBefore(x509), *until = X509_get0_notAfter(x509);
            const bool early = now_ < to_time_point(from);
            const bool late = now_ > to_time_point(until);
            const auto subject = certificate_path() + ": " + numbered(i, x509);
            if (early)
                warn(check::dates, subject + " is not valid before " + to_text(from) +
                                       ", so clients refuse to connect; check this machine's clock, or wait");
            if (late)
                warn(check::dates,
                     subject + " expired at " + to_text(until) + ", so clients refuse to connect; renew it");
            if (i == 0) result_.expired_or_not_yet_valid = early || late;
        }
    }

    void check_purpose() {
        X509* leaf = certificates().front().get();
        if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
            warn(check::purpose, certificate_path() + ": " + numbered(0, leaf) +
                                     " is not meant for TLS servers (key usage), so clients refuse to connect; have it "
                                     "issued with digitalSignature and serverAuth");
    }

    void check_cname() {
        if (!valid_cname(cname_))
            return refuse(check::cname, "\"" + cname_ +
                                            "\" is neither a host name nor an IP address; give the name that clients "
                                            "use");
        if (certificates().empty() || covers(certificates().front().get(), cname_)) return;
        const auto names = to_text(names_of(certificates().front().get()));
        refuse(check::cname, "\"" + cname_ + "\" is not among the subject alternative names of " + certificate_path() +
                                 " (" + (names.empty() ? "it has none; its common name does not count" : names) +
                                 "); set sslCname to a name it covers, or use a certificate for this one");
    }

    const std::string& cname_;
    certificate::time_point now_;
    key_trial trial_;
    pace pace_;
    examined_pair result_;
};

// The setting that a defect is in.
std::string pointer_of(check by, const config::certificate_files& files) {
    const auto setting = [&] {
        if (by == check::cname) return "sslCname";
        if (!files.secret.empty()) return "sslSecret";
        const bool key =
            by == check::key_file || by == check::key_soundness || by == check::key_type || by == check::key_match;
        return key ? "sslKeyPemFile" : "sslCertPemFile";
    };
    return config::child_pointer(files.pointer, setting());
}

std::shared_ptr<const certificate> build(examined_pair& pair) {
    x509_stack_ptr chain{sk_X509_new_null()};
    if (!chain) throw std::bad_alloc();
    for (auto at = pair.certificates.begin() + 1; at != pair.certificates.end(); ++at) {
        if (sk_X509_push(chain.get(), at->get()) == 0) throw std::bad_alloc();
        static_cast<void>(at->release()); // the stack's now
    }
    return std::make_shared<const certificate>(std::move(pair.certificates.front()), std::move(chain),
                                               std::move(pair.key));
}

} // namespace

examined_pair examine(const config::certificate_files& files, certificate::time_point now, key_trial trial, pace how) {
    return examination(files, now, trial, how).run();
}

certificate_load load_certificate(const config::certificate_files& files, const std::string& config_file,
                                  certificate::time_point now, pace how) {
    auto pair = examine(files, now, key_trial::signing, how);
    certificate_load load;
    for (auto& finding : pair.findings) {
        if (finding.defect)
            load.problems.push_back({config_file, pointer_of(finding.by, files), std::move(finding.message)});
        else
            load.warnings.push_back(std::move(finding.message));
    }
    load.expired_or_not_yet_valid = pair.expired_or_not_yet_valid;
    load.chain_incomplete = pair.chain_incomplete;
    load.content = pair.source.content;
    if (load.problems.empty()) load.value = build(pair);
    return load;
}

content_digest read_content(const config::certificate_files& files) { return read_pem_pair(files).content; }

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
