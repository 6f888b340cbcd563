// The part of settings_reader that reads `acme`.
#include "base/network.hpp"
#include "config/acme.hpp"
#include "config/settings_reader.hpp"

#include <array>

namespace scoregate::config {

namespace {

constexpr range days_before{1, 365};

bool is_ip(const std::string& host) { return base::parse_ip(host).has_value(); }

} // namespace

void settings_reader::read_acme(section& in) {
    const auto read = [this](section& inner) {
        acme made;
        std::optional<std::int64_t> days;
        inner.text("directory", made.directory, tls_form(directory_form));
        inner.text("contact", made.contact, tls_form(contact_form));
        inner.text("domainSuffix", made.domain_suffix, tls_form(host_form));
        inner.text("leafDomainLabel", made.leaf_domain_label, tls_form(label_form));
        inner.integer("renew_before", days, days_before, "days");
        inner.text("webroot", made.webroot, tls_form(path_form));
        inner.text("state_dir", made.state_dir, tls_form(path_form));
        inner.text("ca_file", made.ca_file, tls_form(path_form));
        if (!inner.reading()) return;
        if (days) made.renew_before = std::chrono::days{*days};
        if (!to_.allow_insecure_connections) require_whole(inner, made);
        to_.acme = std::move(made);
    };
    in.object_or_null("acme", read, "null");
}

void settings_reader::require_whole(section& in, const acme& made) {
    struct needed {
        std::string_view key, remedy;
    };
    constexpr std::array all{
        needed{"directory", "write the URL of the provider's directory, such as "
                            "https://acme-v02.api.letsencrypt.org/directory"},
        needed{"contact", "write the mail address that the provider may write to"},
        needed{"state_dir", "name a directory for the account, its certificates and the name that was drawn; it has "
                            "to outlast restarts"},
    };
    for (const auto& [key, remedy] : all)
        if (!in.given(key)) in.refuse(in.pointer(key), "is missing: " + std::string{remedy});
    const auto &label = made.leaf_domain_label, &suffix = made.domain_suffix;
    if (label && !in.given("domainSuffix"))
        in.refuse(in.pointer("domainSuffix"), "is missing: leafDomainLabel needs the domain that the name is to be in, "
                                              "such as models.contoso.com");
    if (suffix && !in.given("leafDomainLabel"))
        in.refuse(in.pointer("leafDomainLabel"), "is missing: domainSuffix needs what the name is to begin with, or "
                                                 "remove it and give sslCname");
    if (suffix && is_ip(*suffix))
        in.refuse(in.pointer("domainSuffix"), "is an IP address: write the domain that the name is to be in");
    if (label && suffix && label->size() + drawn_characters + 1 + suffix->size() > longest_acme_domain)
        in.refuse(in.pointer("leafDomainLabel"), "makes a name of more than 64 characters, which no provider issues a "
                                                 "certificate for: shorten it, or domainSuffix");
}

// What stands at the top beside `acme`: a name, unless one is drawn, and no pair of one's own.
void settings_reader::read_acme_domain(section& in, const std::string& cname) {
    for (const std::string_view name : {"sslCertPemFile", "sslKeyPemFile", "sslSecret"})
        if (in.given(name))
            in.refuse(in.pointer(name), "is not given beside acme, which has the certificate issued: remove it, or set "
                                        "acme to null to keep a certificate of your own");
    auto& acme = *to_.acme;
    if (acme.leaf_domain_label) {
        if (in.given("sslCname"))
            in.refuse(in.pointer("sslCname"), "is not given beside acme.leafDomainLabel, which the name is drawn from: "
                                              "remove one of them");
        return;
    }
    if (!in.given("sslCname")) {
        in.refuse(in.pointer("sslCname"), "is missing: write the name that acme is to have a certificate issued for, "
                                          "or acme.leafDomainLabel and acme.domainSuffix to have one drawn");
    } else if (is_ip(cname)) {
        in.refuse(in.pointer("sslCname"), "is an IP address, which acme has no certificate issued for: write a name");
    } else if (cname.size() > longest_acme_domain) {
        in.refuse(in.pointer("sslCname"), "has more than 64 characters, which no provider issues a certificate for: "
                                          "write a shorter name");
    } else {
        acme.domain = cname;
    }
}

} // namespace scoregate::config
