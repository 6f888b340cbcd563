#include "tls/certificate_report.hpp"

#include "tls/certificate_check.hpp"
#include "tls/expiry.hpp"
#include "tls/x509_facts.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace scoregate::tls {

namespace {

// What a check says when there is nothing to say against the pair, and what it needs to be made at all.
struct check_line {
    check what;
    const char* passed;
    bool certificate = false;
    bool key = false;
};

constexpr std::array check_lines{
    check_line{check::certificate_file, "the certificate's file is X.509 in PEM (openssl x509 -text -noout)", true},
    check_line{check::key_file, "the key's file is a private key in PEM, without a passphrase", false, true},
    check_line{check::key_mode, "the key's file is not readable by every user", false, true},
    check_line{check::key_soundness, "the key is consistent in itself (openssl pkey -check, openssl rsa -check)", false,
               true},
    check_line{check::key_type, "the key's type is one that TLS 1.2 clients know", false, true},
    check_line{check::key_match, "the key belongs to the certificate: their public keys (moduli) are equal", true,
               true},
    check_line{check::strength, "keys and signatures of the chain are strong enough", true},
    check_line{check::chain, "the chain is whole and in order", true},
    check_line{check::dates, "every certificate is within its dates", true},
    check_line{check::purpose, "the certificate may be used by a TLS server", true},
    check_line{check::cname, "the certificate covers sslCname, the name that clients connect to", true},
};

class report {
public:
    report(const config::certificate_files& files, certificate::time_point now)
        : files_(files), now_(now), pair_(examine(files, now, key_trial::arithmetic)) {
        // Whoever inspects may not have chosen a name yet.
        if (files.cname.empty())
            std::erase_if(pair_.findings, [](const finding& each) { return each.by == check::cname; });
    }

    certificate_report write() && {
        for (std::size_t i = 0; i < pair_.certificates.size(); ++i) write_certificate(i);
        if (pair_.key) write_key();
        write_checks();
        if (!pair_.certificates.empty()) write_expiry();
        const bool usable = write_verdict();
        return {std::move(text_), usable};
    }

private:
    void line(const std::string& text) { text_.append(text).append("\n"); }
    void row(std::string_view name, const std::string& value) {
        const auto width = std::max<std::size_t>(12, name.size() + 1);
        text_.append("  ").append(name).append(width - name.size(), ' ').append(value).append("\n");
    }

    std::string role_of(std::size_t index) const {
        X509* x509 = pair_.certificates[index].get();
        const bool root = self_signed(x509);
        if (index == 0) return root ? "the server's own (leaf), self-signed" : "the server's own (leaf)";
        return root ? "a root, which clients have or are told to trust" : "an issuer (intermediate)";
    }

    void write_certificate(std::size_t index) {
        X509* x509 = pair_.certificates[index].get();
        line("Certificate " + std::to_string(index + 1) + " of " + std::to_string(pair_.certificates.size()) + ": " +
             role_of(index));
        row("subject", to_text(X509_get_subject_name(x509)));
        row("issuer", to_text(X509_get_issuer_name(x509)));
        if (index == 0) {
            const auto names = to_text(names_of(x509));
            row("names", names.empty() ? "none, so clients accept it for no name" : names);
        }
        row("serial", serial_of(x509));
        row("SHA-256", fingerprint_text(x509));
        row("valid", to_text(X509_get0_notBefore(x509)) + " to " + to_text(X509_get0_notAfter(x509)) + ", " +
                         place_in_time(x509));
        row("key", key_type_of(X509_get0_pubkey(x509)));
        row("signed with", signature_digest_of(x509));
        line("");
    }

    static std::string fingerprint_text(const X509* x509) {
        std::string text;
        for (const unsigned byte : fingerprint_of(x509)) {
            std::array<char, 4> hex{};
            std::snprintf(hex.data(), hex.size(), "%02X", byte);
            text.append(text.empty() ? "" : ":").append(hex.data());
        }
        return text;
    }

    std::chrono::seconds left_of(const X509* x509) const {
        return time_left(to_time_point(X509_get0_notAfter(x509)), now_);
    }

    std::string place_in_time(const X509* x509) const {
        if (now_ > to_time_point(X509_get0_notAfter(x509))) return "expired " + to_text(-left_of(x509)) + " ago";
        if (now_ < to_time_point(X509_get0_notBefore(x509))) return "not valid yet";
        return to_text(left_of(x509)) + " left";
    }

    void write_key() {
        line("Key: " + pair_.source.key.path);
        row("type", key_type_of(pair_.key.get()));
        line("");
    }

    void write_checks() {
        line("Checks");
        for (const auto& each : pair_.findings)
            if (each.by == check::layout) write_finding(each);
        for (const auto& each : check_lines) write_check(each);
        line("");
    }

    void write_check(const check_line& about) {
        bool told = false;
        for (const auto& each : pair_.findings) {
            if (each.by != about.what) continue;
            write_finding(each);
            told = true;
        }
        if (told) return;
        if (about.what == check::cname && files_.cname.empty())
            return row("not checked", "whether the certificate covers sslCname: no name was given");
        if (about.certificate && pair_.certificates.empty())
            return row("not checked", "whether " + std::string(about.passed) + ": the certificate cannot be read");
        if (about.key && !pair_.key)
            return row("not checked", "whether " + std::string(about.passed) + ": the key cannot be read");
        row("ok", about.passed);
    }

    void write_finding(const finding& each) { row(each.defect ? "DEFECT" : "WARNING", each.message); }

    void write_expiry() {
        X509* leaf = pair_.certificates.front().get();
        const auto left = left_of(leaf);
        line("Expiry: scoregate warns in its log when this is left");
        for (const auto& each :
             expiry_thresholds(to_time_point(X509_get0_notBefore(leaf)), to_time_point(X509_get0_notAfter(leaf))))
            row(to_text(each.before_end), left > each.before_end ? "in " + to_text(left - each.before_end) : "reached");
        line("");
    }

    bool write_verdict() {
        const bool refused =
            std::any_of(pair_.findings.begin(), pair_.findings.end(), [](const finding& each) { return each.defect; });
        if (refused)
            line("Not usable: scoregate does not start with this pair, nor take it in place of another; mend each "
                 "DEFECT.");
        else if (pair_.expired_or_not_yet_valid)
            line("Not usable: clients refuse a certificate outside of its dates; scoregate never puts it in the place "
                 "of a valid one.");
        else
            line("Usable: scoregate starts with this pair.");
        return !refused && !pair_.expired_or_not_yet_valid;
    }

    const config::certificate_files& files_;
    certificate::time_point now_;
    examined_pair pair_;
    std::string text_;
};

} // namespace

certificate_report inspect(const config::certificate_files& files, certificate::time_point now) {
    return report(files, now).write();
}

} // namespace scoregate::tls
