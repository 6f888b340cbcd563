#include "app/certificate_install.hpp"

#include "app/process.hpp"
#include "base/file_replacement.hpp"
#include "control/admin_client.hpp"
#include "tls/certificate_check.hpp"
#include "tls/development_certificates.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

namespace scoregate::app {

namespace {

using nlohmann::json;

exit_code say(exit_code code, const std::string& sentence) {
    std::fprintf(stderr, "scoregate: %s\n", sentence.c_str());
    return code;
}

// A PEM text with the key in it: wiped when done with.
struct secret_pem {
    std::string text;
    ~secret_pem() { OPENSSL_cleanse(text.data(), text.size()); }
};

std::string certificates_pem(const tls::certificate& of) {
    auto text = tls::to_pem(of.leaf());
    for (int i = 0; i < sk_X509_num(of.chain()); ++i) text += tls::to_pem(sk_X509_value(of.chain(), i));
    return text;
}

// Where the pair's files are, or are to be: in a directory the layout that is there, else Azure's.
config::certificate_files located(config::certificate_files files) {
    if (files.secret.empty()) return files;
    const auto beside = [&files](const char* name) { return files.secret + '/' + name; };
    const bool kubernetes = std::filesystem::exists(beside("tls.crt")) || std::filesystem::exists(beside("tls.key"));
    files.certificate = beside(kubernetes ? "tls.crt" : "cert.pem");
    files.key = beside(kubernetes ? "tls.key" : "key.pem");
    return files;
}

// Both files, or neither. In the moment between the two a running scoregate waits for the second.
void put_in_place(const tls::certificate& pair, const config::certificate_files& target) {
    secret_pem key{tls::to_pem(pair.key())};
    base::file_replacement new_key(target.key, key.text, 0600);
    base::file_replacement new_certificate(target.certificate, certificates_pem(pair), 0644);
    new_key.commit();
    try {
        new_certificate.commit();
    } catch (...) {
        new_key.undo();
        throw;
    }
}

// The serial that a running scoregate serves for `cname`; empty if its status does not say.
std::string served_serial(const std::string& status, const std::string& cname, const std::string& wanted) {
    const auto parsed = json::parse(status, nullptr, false);
    std::string serial;
    if (!parsed.is_object()) return serial;
    for (const auto& each : parsed.value("certificates", json::array())) {
        if (each.value("cname", "") != cname) continue;
        // Two pairs may share a name, one RSA and one ECDSA.
        if (serial.empty() || each.value("serial", "") == wanted) serial = each.value("serial", "");
    }
    return serial;
}

} // namespace

int install_certificate(const installation& wanted, const config::source& source) {
    // Problems elsewhere in the configuration are no reason to let a certificate expire.
    const auto loaded = config::load(source);
    const auto& pairs = loaded.certificates;
    const auto target = std::find_if(pairs.begin(), pairs.end(), [&](const auto& each) {
        return wanted.cname ? each.cname == *wanted.cname : each.pointer.empty();
    });
    if (target == pairs.end()) {
        for (const auto& each : loaded.problems) std::fprintf(stderr, "%s\n", to_string(each).c_str());
        std::string names;
        for (const auto& each : pairs) names += (names.empty() ? "" : ", ") + each.cname;
        return say(refused, source.file + " names no certificate" +
                                (wanted.cname ? " for " + *wanted.cname : std::string{}) +
                                (names.empty() ? "" : ", but one for " + names) +
                                ": set sslCertPemFile, sslKeyPemFile and sslCname there first");
    }

    const auto checked =
        tls::load_certificate({wanted.certificate, wanted.key, target->cname}, "", std::chrono::system_clock::now());
    for (const auto& each : checked.warnings) std::fprintf(stderr, "warning: %s\n", each.c_str());
    for (const auto& each : checked.problems) std::fprintf(stderr, "%s\n", each.message.c_str());
    if (!checked.value || checked.expired_or_not_yet_valid)
        return say(refused, "the pair was refused, nothing has changed; `scoregate cert inspect --cert " +
                                wanted.certificate + " --key " + wanted.key + "` explains it");
    const auto files = located(*target);
    try {
        put_in_place(*checked.value, files);
    } catch (const std::runtime_error& error) {
        return say(failed, std::string(error.what()) + "; nothing has changed");
    }
    const auto& serial = checked.value->serial();
    std::printf("%s and %s hold serial %s for %s\n", files.certificate.c_str(), files.key.c_str(), serial.c_str(),
                target->cname.c_str());

    const auto& settings = loaded.value;
    if (!wanted.admin && settings && !settings->admin.listen) {
        std::printf("a running scoregate takes it within 2 s; it has no admin port to ask\n");
        return clean;
    }
    const auto url = wanted.admin ? *wanted.admin
                     : settings   ? control::admin_url(*settings->admin.listen)
                                  : std::string(control::default_admin_url);
    const auto reload = control::ask_admin(url, "POST", "/reload");
    if (!reload) return say(failed, "the pair is in place, but " + reload.error());
    if (reload->status != 200) std::fprintf(stderr, "%s", reload->body.c_str());
    const auto status = control::ask_admin(url, "GET", "/status");
    if (!status) return say(failed, "the pair is in place, but " + status.error());
    const auto served = served_serial(status->body, target->cname, serial);
    if (served != serial)
        return say(failed,
                   url +
                       (served.empty() ? " says of no certificate for " + target->cname + " that it is served"
                                       : " says that serial " + served + " is still served for " + target->cname) +
                       "; its log and /status say why");
    std::printf("serial %s is served for %s now\n", serial.c_str(), target->cname.c_str());
    return clean;
}

} // namespace scoregate::app
