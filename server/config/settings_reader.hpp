// Reads the whole configuration from a document: the one place that names the keys, with their ranges; defaults are
// those of model.hpp. Lives for one load(); the control thread or start-up. Must not touch files.
#pragma once

#include "config/document.hpp"
#include "config/section.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::config {

class settings_reader {
public:
    // Both outlive the reader. Relative paths in `to` stay as written.
    settings_reader(document& from, settings& to) : document_(from), to_(to) {}

    // Problems go to the document. With `descriptions` every key is described as well.
    void read(std::vector<key_description>* descriptions = nullptr);

    // After that: a file of services_dir, which holds what would stand under services.NAME; problems go to its
    // document. `file` is what problems elsewhere name it by.
    service& read_service_file(document&, const std::string& name, const std::string& file);

    std::vector<std::string> take_warnings() { return std::exchange(all_.warnings, {}); }

private:
    struct services_so_far;
    settings_reader(document& part, settings& to, services_so_far& all, std::string place)
        : document_(part), to_(to), all_(all), place_(std::move(place)) {}

    void read_root(section&);
    void read_tls(section&);
    void read_acme(section&);
    void require_whole(section&, const acme&);
    void read_acme_domain(section&, const std::string& cname);
    void read_client_ca(section&);
    void read_transport_security(section&);
    void read_pair(section&); // the object that names one: the top, or an entry of `certificates`
    void read_listen(section&);
    void read_admin(section&);
    void read_limits(section&);
    void read_timeouts(section&);
    void read_access_log(section&);
    void read_tracing(section&);
    void read_dns(section&);
    void read_service(section&, const std::string& name);
    void read_authentication(section&, service& to);
    void require_credentials(section&, service& to, bool understood);
    void read_rate_limit(section&, service& to);
    void read_cors(section&, service& to);
    void read_routes(section&, service& to);
    void read_deployments(section&, service& to);
    void read_deployment(section&, deployment& to);
    void read_replica_tls(section&, deployment& to);
    void read_readiness_probe(section&, deployment& to);
    void read_mirror(section&, service& to);
    void warn_of_shared_replicas(section&, const service&);
    void claim_address(const endpoint&, const std::string& pointer);

    // The form, or any text without TLS: what is left over of its settings is not checked and only told.
    form<std::string> tls_form(const form<std::string>&) const;
    void warn_unused(const std::string& pointer, std::string_view because);

    document& document_;
    settings& to_;
    std::vector<std::pair<endpoint, std::string>> addresses_; // to listen on, with the pointer that names each
    // Of all files that the services are in.
    struct services_so_far {
        std::vector<std::string> warnings;
        std::map<std::string, std::string> hosts;  // with the place of the first mention
        std::map<std::string, std::string> capped; // replicas with a cap, in the same way
    };
    services_so_far own_;
    services_so_far& all_ = own_;
    std::string place_; // what goes before a pointer: "FILE: " or nothing
};

} // namespace scoregate::config
