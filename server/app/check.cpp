#include "app/process.hpp"

namespace scoregate::app {

checked check(const config::source& source) {
    checked found;
    auto loaded = config::load(source);
    found.problems = std::move(loaded.problems);
    found.warnings = std::move(loaded.warnings);
    if (!loaded.value) return found;
    if (loaded.value->certificate) {
        auto pair =
            tls::load_certificate(*loaded.value->certificate, loaded.value->file, std::chrono::system_clock::now());
        found.problems.insert(found.problems.end(), pair.problems.begin(), pair.problems.end());
        found.warnings.insert(found.warnings.end(), pair.warnings.begin(), pair.warnings.end());
        found.outside_validity = pair.expired_or_not_yet_valid;
        if (found.outside_validity && loaded.value->refuse_expired)
            found.problems.push_back({loaded.value->file, "/sslCertPemFile",
                                      "the certificate is outside its validity and refuse_expired is true: put a valid "
                                      "one in place"});
        found.certificate = std::move(pair.value);
    }
    if (found.problems.empty()) found.settings = std::move(loaded.value);
    return found;
}

} // namespace scoregate::app
