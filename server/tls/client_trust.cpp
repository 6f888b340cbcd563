#include "tls/client_trust.hpp"

#include "tls/pem.hpp"
#include "tls/x509_facts.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace scoregate::tls {

namespace {

constexpr int min_security_bits = 112; // what OpenSSL's security level 2 lets sign

content_digest id_of(const std::vector<x509_ptr>& authorities, config::client_ca::demand mode) {
    std::vector<std::array<unsigned char, 32>> each_once;
    each_once.reserve(authorities.size());
    for (const auto& each : authorities) each_once.push_back(fingerprint_of(each.get()));
    std::sort(each_once.begin(), each_once.end());
    each_once.erase(std::unique(each_once.begin(), each_once.end()), each_once.end());
    content_hash hash;
    hash.add("scoregate: authorities that a client's session is bound to");
    hash.add(mode == config::client_ca::demand::require ? "require" : "request");
    for (const auto& each : each_once) hash.add({reinterpret_cast<const char*>(each.data()), each.size()});
    return hash.finish();
}

// What is read, or why it could not be.
struct read_file {
    secret_text text;
    std::string problem;
    content_digest content{};
};

read_file read(const std::string& path) {
    read_file made;
    try {
        made.text = std::move(read_pem_file(path).text);
    } catch (const unusable_file& why) {
        made.problem = why.what();
    }
    content_hash hash;
    hash.add(made.problem);
    hash.add(made.text.view());
    made.content = hash.finish();
    return made;
}

void check(X509* one, const std::string& name, certificate::time_point now, client_trust_load& load) {
    if (X509_check_ca(one) == 0)
        load.problems.push_back(name + " is no authority's (CA:TRUE is missing); name a file with the certificates of "
                                       "those that issue clients' certificates, not with these themselves");
    const auto* const key = X509_get0_pubkey(one);
    if (key == nullptr || EVP_PKEY_get_security_bits(key) < min_security_bits)
        load.problems.push_back(name + " has a key of type " + key_type_of(key) +
                                ", too weak to trust what it signs; use an authority with RSA of at least 2048 bits or "
                                "an elliptic curve of at least 224");
    if (to_time_point(X509_get0_notAfter(one)) < now)
        load.warnings.push_back(name + " expired at " + to_text(X509_get0_notAfter(one)) +
                                ", so no client with a certificate of it gets in; replace it, or take it out");
}

char hex(unsigned digit) { return "0123456789abcdef"[digit & 15]; }

std::string hex(const std::array<unsigned char, 32>& bytes) {
    std::string text;
    for (const unsigned byte : bytes) text.append({hex(byte >> 4), hex(byte)});
    return text;
}

// RFC 2253 2.4 lets any character be written as its hex digits. OpenSSL does so for all that is not printable ASCII,
// and puts a backslash before a quote and before another backslash; here these are written in digits, too.
std::string quotable(const X509_NAME* name) {
    const bio_ptr out{BIO_new(BIO_s_mem())};
    char* text = nullptr;
    long size = 0;
    if (out && X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) >= 0) size = BIO_get_mem_data(out.get(), &text);
    std::string made;
    for (long at = 0; at < size; ++at) {
        const bool escaped = text[at] == '\\' && at + 1 < size && (text[at + 1] == '"' || text[at + 1] == '\\');
        if (escaped)
            made.append(text[++at] == '"' ? "\\22" : "\\5C");
        else
            made += text[at];
    }
    return made;
}

} // namespace

client_trust::client_trust(std::vector<x509_ptr> authorities, config::client_ca::demand mode)
    : authorities_(std::move(authorities)), mode_(mode), id_(id_of(authorities_, mode)) {}

client_trust_load load_client_trust(const config::client_ca& from, certificate::time_point now) {
    const auto file = read(from.file);
    client_trust_load load;
    load.content = file.content;
    std::vector<x509_ptr> authorities;
    try {
        if (!file.problem.empty()) throw unusable_file(file.problem);
        authorities = parse_certificates(from.file, file.text.view());
    } catch (const unusable_file& why) {
        load.problems.emplace_back(why.what());
    }
    for (std::size_t i = 0; i < authorities.size(); ++i) {
        X509* const one = authorities[i].get();
        const auto subject = to_text(X509_get_subject_name(one));
        check(one,
              from.file + ": certificate " + std::to_string(i + 1) + " (" +
                  (subject.empty() ? "serial " + serial_of(one) : subject) + ")",
              now, load);
    }
    ERR_clear_error();
    if (load.problems.empty()) load.value = std::make_shared<const client_trust>(std::move(authorities), from.mode);
    return load;
}

content_digest read_content(const config::client_ca& from) { return read(from.file).content; }

std::string forwarded_certificate(const X509* of) {
    auto text = "Hash=" + hex(fingerprint_of(of));
    const auto subject = quotable(X509_get_subject_name(of));
    constexpr std::string_view before = ";Subject=\"", after = "\"";
    const bool printable =
        std::all_of(subject.begin(), subject.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"'; });
    if (printable && text.size() + before.size() + subject.size() + after.size() <= longest_forwarded)
        text.append(before).append(subject).append(after);
    ERR_clear_error();
    return text;
}

} // namespace scoregate::tls
