// The reload unit "configuration": reads it again, all or nothing, and hands a new snapshot on. Control thread; one
// reload at a time, later ones wait their turn.
#pragma once

#include "base/background.hpp"
#include "base/executor.hpp"
#include "config/load.hpp"
#include "control/assembly.hpp"
#include "control/discovery.hpp"
#include "control/file_watch.hpp"
#include "control/key_reloader.hpp"
#include "control/reload_unit.hpp"
#include "control/replica_trust.hpp"
#include "control/tls_reloader.hpp"
#include "control/turn.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace scoregate::control {

class reloader {
public:
    using publish = std::function<void(std::shared_ptr<const routing::snapshot>)>;

    // `running` is what the process started with, `content` what its file held then, `trust` what it asks of replicas:
    // the restart-only values stay in force. `publish` posts to the cores. `files` reads, `tls` and `keys` read what a
    // new configuration names.
    reloader(base::executor where, base::background& files, config::source source, config::settings running,
             const tls::content_digest& content, trust_map trust, tls_reloader& tls, key_reloader& keys,
             assembly& build, discovery& names, publish out);

    // Reads the configuration again because somebody asks. Empty: it is in force. Problems and warnings are logged.
    base::task<config::problems> reload();
    // Does so whenever the file's content has changed, for as long as the loop runs.
    base::task<> follow_file();

    // A snapshot of what is in force.
    std::shared_ptr<const routing::snapshot> build();
    // Publishes it: keys have changed, or replicas have been found or lost.
    void publish_again() { publish_(build()); }

    const config::settings& running() const { return running_; }
    const reload_unit& unit() const { return unit_; }

private:
    base::task<config::problems> reload_now(bool insist);

    base::executor where_;
    base::background& files_;
    config::source source_;
    config::settings running_;
    std::optional<config::acme> started_acme_;
    trust_map trust_;
    std::vector<std::string> ca_files_; // of the configuration that was read last, refused or not
    tls_reloader& tls_;
    key_reloader& keys_;
    assembly& assembly_;
    discovery& names_;
    publish publish_;
    reload_unit unit_;
    base::background::lane lane_;
    file_watch watch_;
    config::services_dir services_dir_; // of follow_file()'s reads alone: the lane has one at a time
    turn turn_;
};

// Of all that the unit reads: the configuration, and the certificates that https:// replicas are verified by.
tls::content_digest digest_of(const config::file_text&, const std::vector<std::string>& ca_files);

// `acme` may not change while all runs, but for TLS as a whole being turned off and on.
config::problems wrong_with_acme(const config::settings& next, const std::optional<config::acme>& started);

// Gives `next` the running values of what only a restart changes; returns the JSON pointers where they differed.
std::vector<std::string> keep_restart_only(config::settings& next, const config::settings& running);

} // namespace scoregate::control
