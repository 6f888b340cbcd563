// argv -> configuration -> process -> exit code.
#include "app/acme_commands.hpp"
#include "app/acme_runner.hpp"
#include "app/acme_start.hpp"
#include "app/certificate_install.hpp"
#include "app/dns_check.hpp"
#include "app/explanation.hpp"
#include "app/first_process.hpp"
#include "app/import_command.hpp"
#include "app/machine.hpp"
#include "app/printable.hpp"
#include "app/process.hpp"
#include "app/status_command.hpp"
#include "auth/generate.hpp"
#include "config/forms.hpp"
#include "control/admin_client.hpp"
#include "control/discovery.hpp"
#include "telemetry/log.hpp"
#include "tls/certificate_report.hpp"
#include "tls/development_certificates.hpp"
#include "tls/openssl_memory.hpp"

#include <CLI/CLI.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace scoregate;

struct arguments {
    std::string config;
    std::vector<std::string> set;
    std::string directory = ".";
    std::string cname = "localhost";
    unsigned days = 365;
    bool overwrite = false, keep = false;
    std::string certificate, key, secret, name; // of cert inspect and cert install
    std::string admin, token_file;
    bool watch = false, json = false;      // of status
    bool draw_anew = false, force = false; // of cert auto, cert renew
    std::vector<std::string> addresses;    // of dns check
    std::string fault;                     // of explain, its token
    std::optional<std::string> takeover;   // path of a Unix socket, of serve
    app::import_options import;            // of import azureml
};

void print(const config::problems& problems) {
    for (const auto& each : problems) std::fprintf(stderr, "%s\n", to_string(each).c_str());
    std::fprintf(stderr, "scoregate: %zu problem%s, nothing was started\n", problems.size(),
                 problems.size() == 1 ? "" : "s");
}

// The configuration as file, environment and command line say it; problems of the words themselves in `problems`.
config::source source_of(const arguments& given, config::problems& problems) {
    config::source source{given.config, config::environment_overrides(environ)};
    for (auto& each : config::parse_set_options(given.set, problems)) source.overrides.push_back(std::move(each));
    return source;
}

app::exit_code serve(const arguments& given, bool only_check) {
    config::problems problems;
    const auto source = source_of(given, problems);
    auto found = app::check(source);
    if (!only_check && problems.empty() && found.settings && found.settings->acme) {
        // The name that is drawn, where one is, is part of what has to be checked.
        if (const auto wrong = app::prepare_acme(*found.settings->acme, found.account)) {
            telemetry::log().error("{}", *wrong);
            return app::failed;
        }
        if (found.settings->acme->domain.empty()) found = app::check(source);
    }
    problems.insert(problems.end(), found.problems.begin(), found.problems.end());
    if (found.settings && !only_check) telemetry::set_log_level(found.settings->log_level);
    for (const auto& each : found.warnings) telemetry::log().warn("{}", each);
    for (const auto& each : found.tls.alarms) telemetry::log().error("{}", each);
    if (!problems.empty()) {
        print(problems);
        return app::refused;
    }
    if (found.tls.outside_validity) {
        telemetry::log().error("A CERTIFICATE IS OUTSIDE ITS VALIDITY, see above: clients will refuse every connection "
                               "that gets it until it is replaced");
        if (only_check) return app::refused;
    }
    if (only_check) {
        for (const auto& each : control::look_ups_of(*found.settings)) std::printf("%s\n", each.c_str());
        std::printf("%s: no problems\n", given.config.c_str());
        return app::clean;
    }
    app::succession before;
    before.takeover = given.takeover;
    if (const auto wrong = given.takeover ? app::wrong_with_socket_path(*given.takeover) : std::nullopt) {
        std::fprintf(stderr, "scoregate: %s\n", wrong->c_str());
        return app::refused;
    }
    auto passed = app::passed_sockets();
    if (!passed) {
        telemetry::log().error("{}", passed.error());
        return app::failed;
    }
    before.passed = std::move(*passed);
    app::process process(source, std::move(found), std::move(before));
    const auto code = process.run();
    // Not torn down: a read of a file may hang for as long as its volume does.
    std::fflush(nullptr);
    ::_exit(code);
}

app::exit_code make_certificates(const arguments& given) {
    try {
        if (given.keep && tls::has_development_certificates(given.directory)) {
            std::printf("%s: has ca.pem, cert.pem and key.pem, which are kept\n", given.directory.c_str());
            return app::clean;
        }
        const auto made = tls::make_development_certificates(given.directory, given.cname, given.days, given.overwrite);
        std::printf(
            "%s  the CA, for clients to trust\n%s  the chain, for sslCertPemFile\n%s  the key, for sslKeyPemFile\n"
            "For development only.\n",
            made.authority.c_str(), made.certificate.c_str(), made.key.c_str());
        return app::clean;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "scoregate: %s\n", error.what());
        return app::failed;
    }
}

app::exit_code inspect_certificates(const arguments& given) {
    std::vector<config::certificate_files> pairs;
    if (!given.config.empty()) {
        config::problems problems;
        pairs = config::load(source_of(given, problems)).certificates;
        if (pairs.empty()) {
            std::fprintf(stderr,
                         "scoregate: %s names no certificate that could be inspected; `scoregate check` says "
                         "what is wrong with it\n",
                         given.config.c_str());
            return app::refused;
        }
    } else {
        pairs.push_back({given.certificate, given.key, given.name, given.secret});
    }
    bool usable = true;
    for (const auto& each : pairs) {
        const auto report = tls::inspect(each, std::chrono::system_clock::now());
        std::printf("%s%s", &each == pairs.data() ? "" : "\n", report.text.c_str());
        usable = usable && report.usable;
    }
    return usable ? app::clean : app::refused;
}

int install(const arguments& given) {
    config::problems problems;
    const auto source = source_of(given, problems);
    if (!problems.empty()) {
        print(problems);
        return app::refused;
    }
    const auto unless_empty = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
    return app::install_certificate({given.certificate, given.key, unless_empty(given.name), unless_empty(given.admin)},
                                    source);
}

std::optional<config::source> understood(const arguments& given) {
    config::problems problems;
    auto source = source_of(given, problems);
    if (problems.empty()) return source;
    print(problems);
    return std::nullopt;
}

int order(const arguments& given) {
    const auto source = understood(given);
    if (!source) return app::refused;
    return app::order_automatically(*source, given.draw_anew ? app::drawn_name::drawn_anew : app::drawn_name::kept);
}

int renew(const arguments& given) {
    const auto source = understood(given);
    if (!source) return app::refused;
    return app::renew_certificate(*source, given.force ? app::renewal::forced : app::renewal::when_due);
}

int look_up_names(const arguments& given) {
    const auto source = understood(given);
    return source ? app::check_dns(*source, given.addresses) : app::refused;
}

app::exit_code make_key() {
    try {
        std::printf("%s\n", auth::generate_key().c_str());
        return app::clean;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "scoregate: %s\n", error.what());
        return app::failed;
    }
}

// What a fault means and what to do; without one, all that there are.
app::exit_code explain(const arguments& given) {
    const auto text = given.fault.empty() ? app::list_of_tokens() : app::explanation_of(given.fault);
    if (!text.empty()) {
        std::printf("%s", text.c_str());
        return app::clean;
    }
    std::fprintf(stderr, "scoregate: no fault has the token %s; these are all:\n%s", given.fault.c_str(),
                 app::list_of_tokens().c_str());
    return app::refused;
}

// Has the scoregate at --admin do what `path` is for, and prints its answer.
app::exit_code tell(const arguments& given, const std::string& path) {
    const auto url = given.admin.empty() ? control::default_admin_url : given.admin;
    const auto reply = control::ask_admin(url, "POST", path, given.token_file);
    if (!reply) {
        std::fprintf(stderr, "scoregate: %s\n", reply.error().c_str());
        return app::failed;
    }
    const bool done = reply->status == 200;
    std::fprintf(done ? stdout : stderr, "%s", app::printable(reply->body, app::line_ends::kept).c_str());
    return done ? app::clean : app::failed;
}

// The admin port of the scoregate that runs by --config, as far as that can be read: it may have become bad meanwhile.
std::string admin_of(const arguments& given) {
    if (!given.admin.empty()) return given.admin;
    if (given.config.empty()) return control::default_admin_url;
    config::problems ignored;
    const auto loaded = config::load(source_of(given, ignored));
    return loaded.value && loaded.value->admin.listen ? control::admin_url(*loaded.value->admin.listen)
                                                      : control::default_admin_url;
}

// For probes of who has neither a shell nor curl, such as a container's.
app::exit_code tell_health(const arguments& given) {
    constexpr std::chrono::seconds patience{2};
    const auto url = admin_of(given);
    const auto reply = control::ask_admin(url, "GET", "/readyz", {}, patience);
    if (!reply) {
        std::fprintf(stderr, "scoregate: %s\n", reply.error().c_str());
        return app::failed;
    }
    if (reply->status == 200) {
        std::printf("ready\n");
        return app::clean;
    }
    constexpr std::string_view unready = "not ready: "; // and why, where that is known
    std::string why =
        reply->status == 503 ? "it starts or drains" : "that is no scoregate's answer; --admin names another";
    if (reply->status == 503 && reply->body.starts_with(unready)) {
        why = reply->body.substr(unready.size(), reply->body.find('\n') - unready.size());
        why = app::printable(why);
    }
    std::fprintf(stderr, "scoregate: %s answers %u to GET /readyz: %s\n", url.c_str(), reply->status, why.c_str());
    return app::failed;
}

int show(const arguments& given) {
    return app::show_status(
        {given.admin.empty() ? control::default_admin_url : given.admin, given.token_file, given.watch, given.json});
}

// What is wrong with a path, empty if nothing. CLI11 prints this and not the text, which may be a private key.
std::string wrong_with_path(const std::string& text) {
    return config::holds_pem(text) ? "takes the path of a file, not what is in it, which is not shown" : "";
}

void add_admin(CLI::App& to, arguments& given) {
    to.add_option("--admin", given.admin, "Its admin port; http://127.0.0.1:9001 if not given")->type_name("URL");
    to.add_option("--token-file", given.token_file, "The file that its admin.token_file names, if it has one")
        ->type_name("FILE");
}

void add_configuration(CLI::App& to, arguments& given) {
    to.add_option("-c,--config", given.config, "The configuration, JSON with // comments")->type_name("FILE");
    to.add_option("--set", given.set,
                  "Sets one value over the file's, e.g. --set listen.https=127.0.0.1:8443; may be repeated.\n"
                  "The environment does the same: SCOREGATE_SET_listen__https=127.0.0.1:8443; and\n"
                  "SCOREGATE_UNLESS_SET_listen__https=... where neither these nor the file say anything.\n"
                  "Azure's names of TLS settings are taken too: --set ssl_cname=www.contoso.com")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
}

void add_takeover(CLI::App& to, arguments& given) {
    to.add_option("--takeover", given.takeover,
                  "Takes the listening sockets over from the scoregate that listens at this Unix socket, if one does,\n"
                  "and then listens there for the next: an upgrade without a lost connection")
        ->type_name("SOCKET");
}

void add_import(CLI::App& to, app::import_options& given) {
    const auto many = [&to](const char* name, std::vector<std::string>& values, const char* says, const char* type) {
        to.add_option(name, values, says)->type_name(type);
    };
    auto& order = given.order;
    many("--endpoint", given.endpoints, "The YAML of an online endpoint; may be repeated, as all up to --host", "FILE");
    many("--deployment", given.deployments, "The YAML of one of their deployments", "FILE");
    many("--extension-settings", given.extension,
         "Settings of the Kubernetes extension, --config and --config-protected: KEY=VALUE words, YAML or JSON",
         "FILE");
    many("--extension-setting", order.extension_settings, "One of them, over those of the files", "KEY=VALUE");
    many("--replica", order.replicas, "A replica of a deployment: http://HOST:PORT, dns://NAME:PORT, ...",
         "[ENDPOINT/]DEPLOYMENT=URL");
    many("--host", order.hosts, "A host on which the endpoint is scored at /score", "[ENDPOINT=]HOST");
    to.add_option("--namespace", order.kubernetes_namespace,
                  "Of headless Services ENDPOINT-DEPLOYMENT, where deployments without --replica have their pods")
        ->type_name("NAME");
    to.add_option("--keys", order.keys_dir, "Folder for the files of keys, ENDPOINT/primary and ENDPOINT/secondary")
        ->type_name("DIR")
        ->capture_default_str();
    to.add_option("--jwks", order.jwks_file, "Public keys of the issuer of tokens, for endpoints that take tokens")
        ->type_name("FILE");
    to.add_option("--issuer", order.issuer, "What its tokens have as iss")->type_name("URL");
    to.add_option("--audience", order.audience, "What its tokens have as aud")
        ->type_name("TEXT")
        ->capture_default_str();
    to.add_option("--output", given.output, "The configuration to write, no file that is there; stdout if not given")
        ->type_name("FILE");
}

int run(int argc, char** argv) {
    app::act_as_first_process();
    app::keep_out_of_core_dumps();
    if (!tls::keep_record_buffers_apart()) telemetry::log().warn("OpenSSL was in use too early: it keeps more memory");
    if (const auto code = app::run_as_acme_runner(argc, argv)) return *code;
    arguments given;
    CLI::App line(
        "scoregate: a TLS 1.2 front-end for model servers.\n"
        "Terminates TLS, routes /api/v1/service/NAME/score to the replicas of a model, and says who failed.\n",
        "scoregate");
    line.footer("Exit codes: 0 ended cleanly, 1 failed or cut requests short, 2 refused what it was told.\n"
                "Signals: SIGTERM drains (a second one ends now), SIGHUP reloads, SIGUSR1 reopens the access log.\n"
                "First steps:\n"
                "  scoregate cert dev --out certs --cname localhost\n"
                "  scoregate check --config scoregate.json\n"
                "  scoregate --config scoregate.json\n"
                "Every setting: docs/configuration.md. Every error a client can get: docs/replies.md.\n"
                "What failed, whose doing it was, what to do: scoregate explain TOKEN.");
    line.require_subcommand(0, 1);
    add_configuration(line, given);
    add_takeover(line, given);

    auto& serve_command = *line.add_subcommand("serve", "Runs in the foreground until SIGTERM (the default command)");
    add_configuration(serve_command, given);
    add_takeover(serve_command, given);
    auto& check_command = *line.add_subcommand("check", "Checks everything that a start would, opens nothing");
    add_configuration(check_command, given);
    auto& cert_command = *line.add_subcommand("cert", "Certificates");
    cert_command.require_subcommand(1);
    auto& dev_command = *cert_command.add_subcommand("dev", "Makes a development CA and a certificate (ECDSA P-256): "
                                                            "ca.pem, cert.pem, key.pem");
    dev_command.add_option("--out", given.directory, "Directory for the three files")->capture_default_str();
    dev_command.add_option("--cname", given.cname, "Name that clients will use: DNS name or IP")->capture_default_str();
    dev_command.add_option("--days", given.days, "Validity in days")->capture_default_str();
    auto* const overwrite = dev_command.add_flag("--overwrite", given.overwrite, "Replaces files that are there");
    dev_command
        .add_flag("--keep", given.keep, "Does nothing if all three are there, for a start that may be the first")
        ->excludes(overwrite);
    auto& inspect_command = *cert_command.add_subcommand("inspect", "Explains a pair: chain, names, dates, key, every "
                                                                    "defect with its remedy");
    auto& inspected = *inspect_command.add_option_group("What", "The pair to explain");
    auto* const cert = inspected.add_option("--cert", given.certificate, "The chain, PEM")->type_name("FILE");
    auto* const key = inspect_command.add_option("--key", given.key, "Its key, PEM")->type_name("FILE");
    cert->check(wrong_with_path);
    key->check(wrong_with_path);
    key->needs(cert);
    cert->needs(key);
    inspected.add_option("--secret", given.secret, "A directory with cert.pem and key.pem, or tls.crt and tls.key")
        ->type_name("DIR");
    auto* const config = inspected.add_option("-c,--config", given.config, "Every pair that this configuration names")
                             ->type_name("FILE");
    inspected.require_option(1);
    inspect_command.add_option("--cname", given.name, "The name that clients will use")
        ->type_name("NAME")
        ->excludes(config);

    auto& install_command = *cert_command.add_subcommand(
        "install", "Checks a new pair, puts it in the place of the one the configuration names, reloads, and says "
                   "which serial is served");
    install_command.add_option("--cert", given.certificate, "The new chain, PEM")
        ->type_name("FILE")
        ->required()
        ->check(wrong_with_path);
    install_command.add_option("--key", given.key, "Its key, PEM")
        ->type_name("FILE")
        ->required()
        ->check(wrong_with_path);
    install_command.add_option("--cname", given.name, "Which pair, by its sslCname; by default the default one")
        ->type_name("NAME");
    install_command.add_option("--admin", given.admin, "The admin port, by default as in the configuration")
        ->type_name("URL");
    add_configuration(install_command, given);

    auto& auto_command = *cert_command.add_subcommand(
        "auto", "Has the certificate issued that acme in the configuration names, if there is none or it is due");
    auto_command.add_flag("--overwrite-existing-domain", given.draw_anew,
                          "Draws another name from acme.leafDomainLabel, and keeps that one");
    add_configuration(auto_command, given);
    auto& renew_command = *cert_command.add_subcommand("renew", "Renews it, once acme.renew_before says so");
    renew_command.add_flag("--force", given.force, "Now; providers issue a few a week and no more");
    add_configuration(renew_command, given);

    auto& dns_command = *line.add_subcommand("dns", "Names that clients use");
    dns_command.require_subcommand(1);
    auto& dns_check_command = *dns_command.add_subcommand(
        "check", "Looks up sslCname, or without TLS every service's hosts: match, mismatch or not yet for each");
    dns_check_command
        .add_option("--address", given.addresses, "Where they are to lead, e.g. the load balancer; may be repeated")
        ->type_name("IP")
        ->allow_extra_args(false)
        ->required();
    add_configuration(dns_check_command, given);
    auto& import_command = *line.add_subcommand("import", "Configurations from elsewhere");
    import_command.require_subcommand(1);
    auto& azureml_command = *import_command.add_subcommand(
        "azureml",
        "Makes a configuration of Azure ML's endpoint and deployment YAML, and tells what has no counterpart");
    add_import(azureml_command, given.import);

    auto& key_command = *line.add_subcommand("key", "Keys that clients send");
    key_command.require_subcommand(1);
    auto& generate_command = *key_command.add_subcommand(
        "generate", "Prints a new random key, 256 bits: (umask 077; scoregate key generate > keys/primary)");

    auto& status_command = *line.add_subcommand("status", "Shows how a running scoregate is: health, services, "
                                                          "replicas, certificates, reloads, last errors");
    add_admin(status_command, given);
    status_command.add_flag("--watch", given.watch, "Shows it again every 5 s, until Ctrl-C");
    status_command.add_flag("--json", given.json, "For programs: {\"status\": .., \"history\": ..}");
    auto& health_command = *line.add_subcommand("health", "Asks a running scoregate whether it is ready: exit code 0, "
                                                          "or 1 with the reason");
    health_command
        .add_option("--admin", given.admin, "Its admin port; as in the configuration, or http://127.0.0.1:9001")
        ->type_name("URL");
    add_configuration(health_command, given);
    auto& reload_command = *line.add_subcommand("reload", "Has a running scoregate read configuration and certificates "
                                                          "again");
    add_admin(reload_command, given);
    auto& drain_command =
        *line.add_subcommand("drain", "Has a running scoregate finish its requests and end, as SIGTERM "
                                      "does");
    add_admin(drain_command, given);
    auto& explain_command =
        *line.add_subcommand("explain", "Says what a fault means, what brings it about, what to look "
                                        "at and what to do");
    explain_command
        .add_option("TOKEN", given.fault,
                    "As in x-scoregate-fault, the access log's fault or the metrics' label fault; without it: a list")
        ->type_name("");
    auto& version_command = *line.add_subcommand("version", "Prints the version");

    try {
        line.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool asked = error.get_exit_code() == 0; // --help
        line.exit(error);
        return asked ? app::clean : app::refused;
    }
    if (version_command.parsed()) {
        std::printf("scoregate %s\n", SCOREGATE_VERSION);
        return app::clean;
    }
    if (explain_command.parsed()) return explain(given);
    if (generate_command.parsed()) return make_key();
    if (dev_command.parsed()) return make_certificates(given);
    if (status_command.parsed()) return show(given);
    if (health_command.parsed()) return tell_health(given);
    if (reload_command.parsed()) return tell(given, "/reload");
    if (drain_command.parsed()) return tell(given, "/drain");
    if (inspect_command.parsed()) return inspect_certificates(given);
    if (azureml_command.parsed()) return app::import_azureml(std::move(given.import));
    if (given.config.empty()) {
        std::fprintf(stderr, "scoregate: --config FILE is needed; scoregate --help says more\n");
        return app::refused;
    }
    try {
        if (install_command.parsed()) return install(given);
        if (auto_command.parsed()) return order(given);
        if (renew_command.parsed()) return renew(given);
        if (dns_check_command.parsed()) return look_up_names(given);
        return serve(given, check_command.parsed());
    } catch (const std::exception& error) {
        telemetry::log().critical("{}", error.what());
        return app::failed;
    }
}

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws where options are declared wrongly, which no user can cause.
int main(int argc, char** argv) {
    const int code = run(argc, argv);
    // What was asked for and is lost must not look like success: a key, for want of room.
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "scoregate: the output could not be written: %s\n", std::strerror(errno));
    return code == app::clean ? app::failed : code;
}
