#include "app/process.hpp"

namespace scoregate::app {

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
    if (found.problems.empty()) found.settings = std::move(loaded.value);
    return found;
}

} // namespace scoregate::app
