#include "config/settings_reader.hpp"

#include "config/azure_settings.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace scoregate::config {
namespace {

// A day is beyond any wait that makes sense here, and keeps every sum of them far from overflow.
constexpr range timeout{1, 24 * 60 * 60 * 1000};
constexpr range timeout_or_none{0, timeout.maximum};

// A pair of certificate and key is named by either, with its name.
constexpr std::array<std::string_view, 3> file_form{"sslCertPemFile", "sslKeyPemFile", "sslCname"};
constexpr std::array<std::string_view, 2> secret_form{"sslSecret", "sslCname"};

constexpr std::string_view without_tls = "allowInsecureConnections is true";

std::string joined(std::span<const std::string_view> words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
        text += words[i];
    }
    return text;
}

std::string two_forms() { return "either " + joined(file_form) + " or " + joined(secret_form); }

std::vector<std::string_view> given_of_pair(const section& in) {
    std::vector<std::string_view> given;
    for (const std::string_view name : {"sslCertPemFile", "sslKeyPemFile", "sslCname", "sslSecret"}) {
        if (in.given(name)) given.push_back(name);
    }
    return given;
}

} // namespace

void settings_reader::read(std::vector<key_description>* descriptions) {
    if (!document_.root().is_object()) {
        document_.refuse("", "must be an object: { \"services\": { ... } }");
        return;
    }
    // Describing reads nothing, so that what has to be there is not missed.
    section root{document_, descriptions == nullptr ? &document_.root() : nullptr, "", descriptions};
    read_root(root);
    root.refuse_unknown();
}

void settings_reader::read_root(section& in) {
    in.boolean("allowInsecureConnections", to_.allow_insecure_connections);
    read_tls(in);
    in.object("listen", [this](section& inner) { read_listen(inner); });
    in.object("admin", [this](section& inner) { read_admin(inner); });
    in.list("trusted_proxies", to_.trusted_proxies, network_form);
    if (to_.listen_on.proxy_protocol == proxy_protocol::required && to_.trusted_proxies.empty())
        in.refuse(in.pointer("listen") + "/proxy_protocol",
                  "is \"required\", but trusted_proxies names nobody whose header would be believed, so that every "
                  "connection would be closed: name the load balancers there");
    in.integer("workers", to_.workers, {0, 1024});
    in.text("user", to_.user, user_form);
    in.object("limits", [this](section& inner) { read_limits(inner); });
    in.object("timeouts", [this](section& inner) { read_timeouts(inner); });
    const bool off = in.object_or_null("access_log", [this](section& inner) { read_access_log(inner); });
    if (off) to_.access_log.path.reset();
    in.word("log_level", to_.log_level,
            {{"debug", log_level::debug},
             {"info", log_level::info},
             {"warning", log_level::warning},
             {"error", log_level::error}});
    read_tracing(in);
    in.object("dns", [this](section& inner) { read_dns(inner); });
    in.text("services_dir", to_.services_dir, path_form);
    in.entries("services", 0, {}, "hold at least one service",
               [this](section& inner, const std::string& name) { read_service(inner, name); });
    in.text("default_service", to_.default_service, name_form);
    for (const auto& each : azure_settings())
        if (in.given(each.name)) in.elsewhere(each.name, advice_on(each));
}

void settings_reader::read_tls(section& in) {
    read_acme(in); // first: with it there is no pair at the top
    read_pair(in);
    const bool more = in.objects("certificates", [this](section& inner) { read_pair(inner); });
    in.boolean("refuse_expired", to_.refuse_expired);
    in.text("ticket_keys_dir", to_.ticket_keys_dir, tls_form(path_form));
    read_client_ca(in);
    read_transport_security(in);

    const auto given = given_of_pair(in);
    if (to_.allow_insecure_connections) {
        for (const auto name : given) warn_unused(in.pointer(name), without_tls);
        if (more) warn_unused(in.pointer("certificates"), without_tls);
        if (to_.ticket_keys_dir) warn_unused(in.pointer("ticket_keys_dir"), without_tls);
        to_.ticket_keys_dir.reset();
        if (to_.acme) warn_unused(in.pointer("acme"), without_tls);
        to_.acme.reset();
        if (to_.client_ca) warn_unused(in.pointer("client_ca"), without_tls);
        to_.client_ca.reset();
        if (to_.strict_transport_security) warn_unused(in.pointer("strict_transport_security"), without_tls);
        to_.strict_transport_security.reset();
    } else if (to_.acme) {
        return;
    } else if (in.reading() && given.empty() && more) {
        in.refuse(in.pointer("certificates"),
                  "needs a default beside it, for clients that ask for none of its names: give " + two_forms() +
                      " at the top of the file");
    } else if (in.reading() && given.empty()) {
        in.refuse(in.pointer("sslCertPemFile"),
                  "is missing: give " + two_forms() +
                      " to serve TLS, acme to have a certificate issued, or set allowInsecureConnections to true to "
                      "serve plain HTTP");
    }
}

void settings_reader::read_client_ca(section& in) {
    const auto read = [this](section& inner) {
        client_ca made;
        inner.text("file", made.file, tls_form(path_form));
        using demand = client_ca::demand;
        inner.word("mode", made.mode, {{"request", demand::request}, {"require", demand::require}});
        if (!inner.reading()) return;
        if (!to_.allow_insecure_connections && !inner.given("file"))
            inner.refuse(inner.pointer("file"),
                         "is missing: name the PEM file with the certificates of the authorities that issue clients' "
                         "certificates, or write \"client_ca\": null to ask clients for none");
        to_.client_ca = std::move(made);
    };
    in.object_or_null("client_ca", read, "null");
}

void settings_reader::read_transport_security(section& in) {
    const auto read = [this](section& inner) {
        strict_transport_security made;
        inner.duration("max_age_s", made.max_age, {0, 10 * 365 * 24 * 60 * 60});
        inner.boolean("include_subdomains", made.include_subdomains);
        inner.boolean("preload", made.preload);
        if (!inner.reading()) return;
        // What the lists that are built into browsers ask of a name (hstspreload.org).
        constexpr std::chrono::seconds year{365 * 24 * 60 * 60};
        if (!to_.allow_insecure_connections && made.preload && !(made.include_subdomains && made.max_age >= year))
            inner.refuse(inner.pointer("preload"), "needs include_subdomains true and max_age_s of at least 31536000, "
                                                   "or no browser's list takes the name: set both, or leave it out");
        to_.strict_transport_security = made;
    };
    in.object_or_null("strict_transport_security", read, "null");
}

// Takes a pair that is whole. An entry of `certificates` must be one; whether the top needs one, the rest decides.
void settings_reader::read_pair(section& in) {
    certificate_files pair;
    pair.pointer = in.pointer();
    in.text("sslCertPemFile", pair.certificate, tls_form(path_form));
    in.text("sslKeyPemFile", pair.key, tls_form(path_form));
    in.text("sslCname", pair.cname, tls_form(host_form));
    in.text("sslSecret", pair.secret, tls_form(path_form));
    if (!in.reading() || to_.allow_insecure_connections) return;
    if (in.pointer().empty() && to_.acme) return read_acme_domain(in, pair.cname);

    const auto given = given_of_pair(in);
    if (given.empty()) {
        if (!in.pointer().empty()) in.refuse(in.pointer(), "names no certificate: give " + two_forms());
        return;
    }
    const bool secret = in.given("sslSecret");
    const bool files = in.given("sslCertPemFile") || in.given("sslKeyPemFile");
    if (secret && files) {
        in.refuse(in.pointer("sslSecret"),
                  "holds certificate and key, so it cannot be given beside their files: give " + two_forms());
    }
    for (const auto name : file_form) {
        if (in.given(name) || (secret && name != "sslCname")) continue;
        in.refuse(in.pointer(name), "is missing: " + joined(given) + (given.size() == 1 ? " needs" : " need") +
                                        " it, so give " + two_forms());
    }
    const bool whole = secret ? !files && !pair.secret.empty() : !pair.certificate.empty() && !pair.key.empty();
    if (whole && !pair.cname.empty()) to_.certificates.push_back(std::move(pair));
}

form<std::string> settings_reader::tls_form(const form<std::string>& wanted) const {
    if (!to_.allow_insecure_connections) return wanted;
    return {wanted.name, [](std::string_view text, std::string&) { return std::optional{std::string{text}}; }};
}

void settings_reader::warn_unused(const std::string& pointer, std::string_view because) {
    all_.warnings.push_back(
        to_string(problem{document_.origin_of(pointer), pointer, "is not used, because " + std::string{because}}));
}

void settings_reader::read_listen(section& in) {
    auto& listen = to_.listen_on;
    const auto https = in.list("https", listen.https, address_form);
    const auto http = in.list("http", listen.http, address_form);
    for (std::size_t i = 0; i < https.size(); ++i) claim_address(listen.https[i], https[i]);
    for (std::size_t i = 0; i < http.size(); ++i) claim_address(listen.http[i], http[i]);
    in.integer("public_https_port", listen.public_https_port, {1, 65535});
    in.word("proxy_protocol", listen.proxy_protocol,
            {{"off", proxy_protocol::off}, {"required", proxy_protocol::required}});

    const bool insecure = to_.allow_insecure_connections;
    if ((insecure ? listen.http : listen.https).empty()) {
        in.refuse(in.pointer(insecure ? "http" : "https"),
                  std::string{"must hold at least one address, because allowInsecureConnections is "} +
                      (insecure ? "true" : "false") + " and scoring is served there");
    }
    if (to_.acme && listen.http.empty())
        in.refuse(in.pointer("http"), "must hold at least one address, because the provider that acme names asks there "
                                      "whether the name is yours");
}

void settings_reader::read_admin(section& in) {
    in.text("listen", to_.admin.listen, address_form);
    if (to_.admin.listen) claim_address(*to_.admin.listen, in.pointer("listen"));
    in.text("token_file", to_.admin.token_file, path_form);
    in.list("hosts", to_.admin.hosts, host_form);
}

void settings_reader::claim_address(const endpoint& address, const std::string& pointer) {
    for (const auto& [other, where] : addresses_) {
        if (!overlap(address, other)) continue;
        document_.refuse(pointer, to_text(address) + " collides with " + to_text(other) + " of " + where +
                                      ": give one of them another port");
        break;
    }
    addresses_.emplace_back(address, pointer);
}

void settings_reader::read_limits(section& in) {
    auto& limits = to_.limits;
    in.integer("max_connections", limits.max_connections, {1, 1'000'000});
    in.integer("max_connections_per_ip", limits.max_connections_per_ip, {0, 1'000'000});
    in.integer("max_handshakes", limits.max_handshakes, {1, 1'000'000});
    in.integer("max_requests_per_connection", limits.max_requests_per_connection, {0, 1'000'000'000});
    in.integer("max_memory_bytes", limits.max_memory_bytes, {1 << 26, std::int64_t{1} << 50}, "bytes");
    in.integer("max_header_bytes", limits.max_header_bytes, {1024, 1'048'576}, "bytes");
    in.integer("max_headers", limits.max_headers, {1, 1000});
    in.integer("max_request_bytes", limits.max_request_bytes, {1, std::int64_t{1} << 40}, "bytes");
    in.integer("request_buffer_bytes", limits.request_buffer_bytes, {1024, 1 << 24}, "bytes");
    in.integer("buffer_memory_bytes", limits.buffer_memory_bytes, {1 << 20, std::int64_t{1} << 40}, "bytes");
    if (limits.buffer_memory_bytes / 4 < limits.request_buffer_bytes)
        in.refuse(in.pointer("buffer_memory_bytes"), "is less than four times request_buffer_bytes, so that few bodies "
                                                     "or none could be collected: raise it, or lower the other");
    in.integer("min_body_rate", limits.min_body_rate, {0, 1 << 30}, "bytes/s");
    in.integer("min_reply_rate", limits.min_reply_rate, {0, 1 << 30}, "bytes/s");
    in.list("allow", limits.allow, network_form);
    in.list("deny", limits.deny, network_form);
}

void settings_reader::read_timeouts(section& in) {
    auto& timeouts = to_.timeouts;
    in.duration("handshake_ms", timeouts.handshake, timeout);
    in.duration("header_ms", timeouts.header, timeout);
    in.duration("body_idle_ms", timeouts.body_idle, timeout);
    in.duration("keep_alive_ms", timeouts.keep_alive, timeout);
    in.duration("connect_ms", timeouts.connect, timeout);
    in.duration("stream_idle_ms", timeouts.stream_idle, timeout);
    in.duration("drain_grace_ms", timeouts.drain_grace, timeout_or_none);
    in.duration("drain_ms", timeouts.drain, timeout);
}

void settings_reader::read_dns(section& in) {
    constexpr range ttl{1, 24 * 60 * 60};
    auto& dns = to_.dns;
    in.list("servers", dns.servers, dns_server_form);
    auto least = dns.min_ttl.count(), most = dns.max_ttl.count();
    in.integer("min_ttl_s", least, ttl, "s");
    in.integer("max_ttl_s", most, ttl, "s");
    if (least > most)
        in.refuse(in.pointer("min_ttl_s"),
                  "is more than max_ttl_s, which is " + std::to_string(most) + ": lower it, or raise the other");
    dns.min_ttl = std::chrono::seconds(least);
    dns.max_ttl = std::chrono::seconds(most);
}

void settings_reader::read_tracing(section& in) {
    const auto read = [this](section& inner) {
        tracing made;
        inner.required_text("endpoint", made.endpoint, collector_form,
                            "write where the collector takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces, "
                            "or \"tracing\": null for no traces");
        inner.required_number("ratio", made.ratio, "0", 1,
                              "write how many of the traces that begin here are recorded, such as 0.01");
        inner.text("service_name", made.service_name, name_form);
        inner.text("headers_file", made.headers_file, path_form);
        inner.text("ca_file", made.ca_file, path_form);
        if (inner.reading()) to_.tracing = std::move(made);
    };
    in.object_or_null("tracing", read, "null");
}

void settings_reader::read_access_log(section& in) {
    in.text("path", to_.access_log.path, log_path_form);
    in.word("format", to_.access_log.format, {{"json", log_format::json}, {"text", log_format::text}});
    in.integer("sample_successes", to_.access_log.sample_successes, {1, 1'000'000});
    in.duration("slow_ms", to_.access_log.slow, timeout);
    using facility = log_facility;
    in.word("facility", to_.access_log.facility,
            {{"user", facility::user},
             {"daemon", facility::daemon},
             {"local0", facility::local0},
             {"local1", facility::local1},
             {"local2", facility::local2},
             {"local3", facility::local3},
             {"local4", facility::local4},
             {"local5", facility::local5},
             {"local6", facility::local6},
             {"local7", facility::local7}});
}

} // namespace scoregate::config
