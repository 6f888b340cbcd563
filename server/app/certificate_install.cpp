#include "app/certificate_install.hpp"

#include "app/pair_placement.hpp"
#include "app/process.hpp"
#include "control/admin_client.hpp"
#include "tls/certificate_check.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>

namespace scoregate::app {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds patience{10}; // with another install

exit_code say(exit_code code, const std::string& sentence) {
    std::fprintf(stderr, "scoregate: %s\n", sentence.c_str());
    return code;
}

// The serials that a running scoregate serves for `cname`: `wanted` alone if it is one of them.
std::string served_serials(const std::string& status, const std::string& cname, const std::string& wanted) {
    const auto parsed = json::parse(status, nullptr, false);
    std::string serials;
    if (!parsed.is_object()) return serials;
    for (const auto& each : parsed.value("certificates", json::array())) {
        if (each.value("cname", "") != cname) continue;
        const auto serial = each.value("serial", "");
        if (serial == wanted) return serial;
        serials += (serials.empty() ? "" : " and ") + serial; // one RSA, one ECDSA
    }
    return serials;
}

} // namespace

int install_certificate(const installation& wanted, const config::source& source) {
    // Problems elsewhere in the configuration are no reason to let a certificate expire.
    const auto loaded = config::load(source);
    const auto& pairs = loaded.certificates;
    const auto candidates = namesakes(pairs, wanted.cname);
    if (candidates.empty()) {
        for (const auto& each : loaded.problems) std::fprintf(stderr, "%s\n", to_string(each).c_str());
        std::string names;
        for (const auto& each : pairs) names += (names.empty() ? "" : ", ") + each.cname;
        return say(refused, source.file + " names no certificate" +
                                (wanted.cname ? " for " + *wanted.cname : std::string{}) +
                                (names.empty() ? "" : ", but one for " + names) +
                                ": set sslCertPemFile, sslKeyPemFile and sslCname there first");
    }

    const auto checked = tls::load_certificate({wanted.certificate, wanted.key, candidates.front().cname}, "",
                                               std::chrono::system_clock::now());
    for (const auto& each : checked.warnings) std::fprintf(stderr, "warning: %s\n", each.c_str());
    for (const auto& each : checked.problems) std::fprintf(stderr, "%s\n", each.message.c_str());
    if (!checked.value || checked.expired_or_not_yet_valid)
        return say(refused, "the pair was refused, nothing has changed; `scoregate cert inspect --cert " +
                                wanted.certificate + " --key " + wanted.key + "` explains it");
    config::certificate_files place;
    try {
        place = place_for(*checked.value, candidates, pairs);
        put_in_place(*checked.value, place, patience);
    } catch (const no_place& error) {
        return say(refused, std::string(error.what()) + "; nothing has changed");
    } catch (const half_placed& error) {
        return say(failed, error.what());
    } catch (const std::runtime_error& error) {
        return say(failed, std::string(error.what()) + "; nothing has changed");
    }
    const auto& serial = checked.value->serial();
    std::printf("%s and %s hold serial %s for %s\n", place.certificate.c_str(), place.key.c_str(), serial.c_str(),
                place.cname.c_str());

    const auto& settings = loaded.value;
    if (!wanted.admin && settings && !settings->admin.listen) {
        std::printf("a running scoregate takes it within 2 s; it has no admin port to ask\n");
        return clean;
    }
    const auto url = wanted.admin ? *wanted.admin
                     : settings   ? control::admin_url(*settings->admin.listen)
                                  : std::string(control::default_admin_url);
    const auto token_file = loaded.admin_token_file.value_or("");
    const auto reload = control::ask_admin(url, "POST", "/reload", token_file);
    if (!reload) return say(failed, "the pair is in place, but " + reload.error());
    if (reload->status != 200) std::fprintf(stderr, "%s", reload->body.c_str());
    const auto status = control::ask_admin(url, "GET", "/status", token_file);
    if (!status) return say(failed, "the pair is in place, but " + status.error());
    const auto served = served_serials(status->body, place.cname, serial);
    if (served != serial)
        return say(failed,
                   url +
                       (served.empty() ? " says of no certificate for " + place.cname + " that it is served"
                                       : " says that serial " + served + " is still served for " + place.cname) +
                       "; its log and /status say why");
    std::printf("serial %s is served for %s now\n", serial.c_str(), place.cname.c_str());
    return clean;
}

} // namespace scoregate::app
