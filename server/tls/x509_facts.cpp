#include "tls/x509_facts.hpp"

#include <arpa/inet.h>
#include <time.h>

#include <algorithm>
#include <new>

namespace scoregate::tls {

namespace {

std::string printable(std::string_view text) {
    static constexpr auto digits = "0123456789ABCDEF";
    std::string out;
    for (const unsigned char c : text) {
        if (c > ' ' && c < 0x7F)
            out += static_cast<char>(c);
        else
            out.append("\\x").append({digits[c >> 4], digits[c & 15]});
    }
    return out;
}

} // namespace

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

std::string signature_digest_of(X509* x509) {
    int digest = NID_undef;
    X509_get_signature_info(x509, &digest, nullptr, nullptr, nullptr);
    // Edwards curves have none of their own choice: then the algorithm says it all.
    return OBJ_nid2sn(digest != NID_undef ? digest : X509_get_signature_nid(x509));
}

std::array<unsigned char, 32> fingerprint_of(const X509* x509) {
    std::array<unsigned char, 32> digest{};
    if (X509_digest(x509, EVP_sha256(), digest.data(), nullptr) != 1) throw std::bad_alloc();
    return digest;
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

std::string to_text(const std::vector<std::string>& names, std::size_t limit) {
    std::string text;
    const auto shown = std::min(names.size(), limit);
    for (std::size_t i = 0; i < shown; ++i) text.append(i == 0 ? "" : ", ").append(printable(names[i]));
    if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
    return text;
}

bool ip_literal(const std::string& name) { return ip_address_ptr{a2i_IPADDRESS(name.c_str())} != nullptr; }

bool covers(X509* leaf, std::string_view name) {
    constexpr unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    // OpenSSL reads an address only up to a NUL, takes a leading dot as any subdomain, and a wildcard for itself.
    if (name.empty() || name.front() == '.' || name.find_first_of(std::string_view{"*\0", 2}) != name.npos)
        return false;
    const std::string text{name};
    if (ip_literal(text)) return X509_check_ip_asc(leaf, text.c_str(), flags) == 1;
    return X509_check_host(leaf, text.data(), text.size(), flags, nullptr) == 1;
}

bool self_signed(X509* x509) { return (X509_get_extension_flags(x509) & EXFLAG_SS) != 0; }

bool issued_by(X509* subject, X509* issuer) {
    return X509_check_issued(issuer, subject) == X509_V_OK && X509_verify(subject, X509_get0_pubkey(issuer)) == 1;
}

} // namespace scoregate::tls
