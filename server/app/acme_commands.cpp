#include "app/acme_commands.hpp"

#include "app/account.hpp"
#include "app/acme_order.hpp"
#include "app/acme_schedule.hpp"
#include "app/printable.hpp"
#include "app/process.hpp"
#include "app/program_run.hpp"
#include "config/acme.hpp"
#include "control/time_text.hpp"
#include "tls/certificate_check.hpp"
#include "tls/expiry.hpp"

#include <cstdio>
#include <sys/stat.h>
#include <unistd.h>

namespace scoregate::app {

namespace {

exit_code say(exit_code code, const std::string& sentence) {
    std::fprintf(stderr, "scoregate: %s\n", sentence.c_str());
    return code;
}

exit_code tell(const std::string& sentence) {
    std::printf("%s\n", sentence.c_str());
    return clean;
}

void print_line(std::string_view line) { std::fprintf(stderr, "%s: %s\n", acme_client, printable(line).c_str()); }

// Who scoregate runs as: `user`, else whose the state is, or the folder that it is to be in. For root alone there is a
// choice; empty: who this is.
std::string orders_as(const config::settings& settings) {
    if (settings.user) return *settings.user;
    struct stat there {};
    if (::geteuid() != 0 || ::stat(there_of(settings.acme->state_dir).c_str(), &there) != 0) return {};
    return there.st_uid == 0 ? std::string() : std::to_string(there.st_uid) + ':' + std::to_string(there.st_gid);
}

// What an order by hand is to be like; the exit code with a sentence told if there can be none. As who scoregate runs
// as from here on, so that it can read and replace what is made.
boost::system::result<config::acme, exit_code> settings_of(const config::source& source) {
    const auto loaded = config::load(source);
    if (!loaded.value) {
        for (const auto& each : loaded.problems) std::fprintf(stderr, "%s\n", to_string(each).c_str());
        return say(refused, "the configuration has problems, nothing was ordered");
    }
    if (loaded.value->allow_insecure_connections)
        return say(refused, source.file + " has allowInsecureConnections true: without TLS there is no certificate to "
                                          "order; set it to false first");
    if (!loaded.value->acme)
        return say(refused, source.file + " has certificates of your own: renew them where they come from and put them "
                                          "in place with `scoregate cert install`, or set acme to have one issued");
    if (!is_installed(acme_client))
        return say(failed, std::string(acme_client) + " is not installed: `apt install " + acme_client + "`");
    if (const auto who = orders_as(*loaded.value); !who.empty()) {
        const auto known = find_account(who);
        if (!known) return say(refused, known.error());
        if (const auto wrong = become(*known)) return say(failed, *wrong);
    }
    return *loaded.value->acme;
}

std::string until(const tls::certificate& one) { return control::to_text(one.not_after()); }

std::string days_left(const tls::certificate& one) {
    return tls::to_text(tls::time_left(one.not_after(), std::chrono::system_clock::now()));
}

exit_code order(const config::acme& from, urgency how) {
    const auto result = order_certificate(from, how, -1, print_line);
    if (result.what == order_result::kind::failed)
        return say(failed, "no certificate for " + from.domain + ": " + printable(result.said) +
                               "; a scoregate with this configuration has to run meanwhile, which answers the "
                               "provider on listen.http, and " +
                               from.domain + " has to lead to it (`scoregate dns check`)");
    const auto there = issued_certificate(from);
    if (result.what == order_result::kind::not_due && there)
        return tell("not needed, " + days_left(*there) + " left: " + from.domain + " has serial " + result.said +
                    " until " + until(*there) + "; `scoregate cert renew --force` renews it all the same");
    return tell("issued: serial " + result.said + " for " + from.domain + (there ? " until " + until(*there) : ""));
}

exit_code order_drawn_anew(config::acme from) {
    const auto before = from.domain.empty() ? from.other_domain : from.domain;
    do from.domain = draw_domain(from);
    while (from.domain == before);
    const auto code = order(from, urgency::now);
    if (code != clean) return say(code, before.empty() ? "no name was kept" : before + " stays the name");
    if (const auto wrong = keep_domain(from)) return say(failed, *wrong);
    return tell("the name is " + from.domain + (before.empty() ? "" : " in place of " + before) +
                " from the next start on: restart scoregate, or hand over to a new process");
}

} // namespace

int order_automatically(const config::source& source, drawn_name name) {
    auto from = settings_of(source);
    if (!from) return from.error();
    if (name == drawn_name::drawn_anew && !from->leaf_domain_label)
        return say(refused, "--overwrite-existing-domain draws another name, but " + source.file +
                                " has none drawn: the name is its sslCname; set acme.leafDomainLabel and "
                                "acme.domainSuffix in place of it");
    if (name == drawn_name::drawn_anew) return order_drawn_anew(std::move(*from));
    if (!from->other_domain.empty()) return say(refused, advice_on_other(from->other_domain, *from));
    if (from->domain.empty()) {
        const auto drawn = settle_domain(*from);
        if (!drawn) return say(failed, drawn.error());
        tell("the name is " + from->domain);
    }
    return order(*from, urgency::when_due);
}

int renew_certificate(const config::source& source, renewal how) {
    const auto from = settings_of(source);
    if (!from) return from.error();
    if (!from->other_domain.empty()) return say(refused, advice_on_other(from->other_domain, *from));
    // One that has expired is renewed all the same.
    if (from->domain.empty() ||
        !tls::load_certificate(config::pair_of(*from), "", std::chrono::system_clock::now()).value)
        return say(refused, "there is no certificate yet that could be renewed: `scoregate cert auto` has one issued, "
                            "and so does a start");
    return order(*from, how == renewal::forced ? urgency::now : urgency::when_due);
}

} // namespace scoregate::app
