#include "app/process.hpp"

namespace scoregate::app {

checked check(const config::source& source) {
    checked found;
    auto loaded = config::load(source);
    found.problems = std::move(loaded.problems);
    found.warnings = std::move(loaded.warnings);
    if (loaded.certificate) {
        auto pair = tls::load_certificate(*loaded.certificate, source.file, std::chrono::system_clock::now());
        found.problems.insert(found.problems.end(), pair.problems.begin(), pair.problems.end());
        found.alarms = std::move(pair.warnings);
        found.outside_validity = pair.expired_or_not_yet_valid;
        found.certificate = std::move(pair.value);
    }
    if (loaded.value && loaded.value->refuse_expired && found.outside_validity)
        found.problems.push_back({source.file, "/sslCertPemFile",
                                  "the certificate is outside its validity and refuse_expired is true: put a valid one "
                                  "in place"});
    if (found.problems.empty()) found.settings = std::move(loaded.value);
    return found;
}

} // namespace scoregate::app
