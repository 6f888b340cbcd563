#include "app/acme_order.hpp"
#include "app/process.hpp"
#include "app/program_run.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <unistd.h>

namespace scoregate::app {

namespace {

// What a reload reads again.
std::vector<std::string> read_again(const config::settings& settings, const config::services_folder& services) {
    std::vector<std::string> files{std::filesystem::absolute(settings.file).string(), services.path};
    for (const auto& each : services.files) files.push_back(each.path);
    const auto add = [&files](const auto& path) {
        if (path) files.push_back(*path);
    };
    add(settings.ticket_keys_dir);
    if (settings.acme) files.push_back(settings.acme->state_dir);
    add(settings.admin.token_file);
    if (settings.client_ca) files.push_back(settings.client_ca->file);
    for (const auto& each : settings.certificates) {
        for (const auto* path : {&each.certificate, &each.key, &each.secret}) files.push_back(*path);
        for (const auto* name : {"cert.pem", "key.pem", "tls.crt", "tls.key"})
            if (!each.secret.empty()) files.push_back(each.secret + '/' + name);
    }
    for (const auto& each : settings.services) {
        if (const auto from = auth::source_of(each))
            for (const auto& path : from->files()) files.push_back(path);
        for (const auto& one : each.deployments) add(one.replica_tls.ca_file);
    }
    return files;
}

void judge_user(checked& found, const config::settings& settings, const config::services_folder& services) {
    if (!settings.user) return;
    auto known = find_account(*settings.user);
    if (!known) {
        found.problems.push_back({settings.file, "/user", known.error()});
        return;
    }
    for (const auto& each : unreadable_for(*known, read_again(settings, services)))
        found.warnings.push_back(
            each + " cannot be read by user " + known->name +
            ", so that no reload will take what changes in it: let that user read it, or its group");
    found.account = std::move(*known);
}

void judge_acme(checked& found, const config::settings& settings) {
    if (!settings.acme) return;
    const auto& acme = *settings.acme;
    if (!is_installed(acme_client))
        found.problems.push_back({settings.file, "/acme",
                                  std::string("needs the ACME client ") + acme_client +
                                      ", which is not installed: `apt install " + acme_client + "`"});
    if (!acme.other_domain.empty())
        found.problems.push_back({settings.file, "/acme/leafDomainLabel", advice_on_other(acme.other_domain, acme)});
    std::optional<acting_as> other;
    if (found.account && ::geteuid() == 0) other.emplace(*found.account);
    const auto judge = [&](const char* pointer, const std::string& folder) {
        const auto there = there_of(folder);
        if (::faccessat(AT_FDCWD, there.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return;
        const std::string why = std::strerror(errno);
        found.problems.push_back({settings.file, pointer,
                                  there + " cannot be written to (" + why + ')' +
                                      (found.account ? " by user " + found.account->name : "") +
                                      ": let the user that scoregate runs as write there, or name another directory"});
    };
    judge("/acme/state_dir", acme.state_dir);
    if (acme.webroot) judge("/acme/webroot", *acme.webroot);
}

} // namespace

checked check(const config::source& source) {
    checked found;
    const auto text = config::read_text(source, false);
    auto loaded = config::load(source, text);
    if (loaded.value) found.content = control::digest_of(text, control::ca_files_of(loaded.value->services));
    found.problems = std::move(loaded.problems);
    found.warnings = std::move(loaded.warnings);
    const auto& settings = loaded.value;
    found.tls = control::read_tls(loaded.certificates, settings ? settings->ticket_keys_dir : std::nullopt,
                                  settings ? settings->client_ca : std::nullopt, settings && settings->refuse_expired,
                                  source.file);
    found.problems.insert(found.problems.end(), found.tls.problems.begin(), found.tls.problems.end());
    found.keys = control::read_keys(loaded.services, loaded.admin_token_file, source.file);
    auto trust = control::read_trust(loaded.services, source.file);
    found.trust = std::move(trust.loaded);
    for (const auto* more : {&found.keys.problems, &trust.problems})
        found.problems.insert(found.problems.end(), more->begin(), more->end());
    found.warnings.insert(found.warnings.end(), found.keys.warnings.begin(), found.keys.warnings.end());
    if (settings && settings->tracing)
        found.traces = control::read_trace_destination(*settings->tracing, source.file, found.problems, found.warnings);
    if (settings) {
        judge_user(found, *settings, text.services);
        judge_acme(found, *settings);
    }
    if (found.problems.empty()) found.settings = std::move(loaded.value);
    return found;
}

} // namespace scoregate::app
