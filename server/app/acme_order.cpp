#include "app/acme_order.hpp"

#include "app/acme_schedule.hpp"
#include "app/folder_lock.hpp"
#include "app/pair_placement.hpp"
#include "app/program_run.hpp"
#include "base/file_replacement.hpp"
#include "config/acme.hpp"
#include "control/time_text.hpp"
#include "tls/certificate_check.hpp"

#include <openssl/rand.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>

namespace scoregate::app {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::minutes longest_order{5};
constexpr std::chrono::seconds patience_with_others = longest_order + std::chrono::seconds{10}; // who order, too
constexpr std::chrono::seconds patience_with_drawing{10};
constexpr std::chrono::seconds patience_with_placing{10};

std::string client_folder(const config::acme& from) { return from.state_dir + "/lego"; }

program client_of(const config::acme& from) {
    program made{{acme_client, "--accept-tos", "--server", from.directory, "--email", from.contact, "--path",
                  client_folder(from), "--domains", from.domain, "--http", "--http.webroot", from.challenges(), "run"},
                 {}};
    if (from.ca_file) made.environment.push_back("LEGO_CA_CERTIFICATES=" + *from.ca_file);
    return made;
}

order_result failed(std::string why) { return {order_result::kind::failed, std::move(why)}; }

// lego writes certificate and key one after the other; the pair that is served changes in one go, and only for a good
// one.
order_result place(const config::acme& from) {
    const auto written = client_folder(from) + "/certificates/" + from.domain;
    const auto fresh =
        tls::load_certificate({written + ".crt", written + ".key", from.domain}, "", std::chrono::system_clock::now());
    if (!fresh.value)
        return failed("the provider issued what cannot be served: " +
                      (fresh.problems.empty() ? "no certificate" : fresh.problems.front().message));
    put_in_place(*fresh.value, config::pair_of(from), patience_with_placing);
    return {order_result::kind::issued, fresh.value->serial()};
}

// The last that the client says is why it failed; its lines begin with date and time.
std::string reason_in(const std::string& line) {
    const auto stamped = line.size() > 20 && line[4] == '/' && line[7] == '/' && line[19] == ' ';
    return stamped ? line.substr(20) : line;
}

// Behind that of the provider: each order would be of another one that is not valid yet, until he takes no more.
std::optional<std::string> wrong_with_clock(const config::acme& from) {
    const auto now = std::chrono::system_clock::now();
    const auto there = tls::load_certificate(config::pair_of(from), "", now).value;
    if (!there || there->not_before() <= now) return std::nullopt;
    return "the certificate in place, serial " + there->serial() + ", is valid from " +
           control::to_text(there->not_before()) + " on, which is still to come: check this machine's clock";
}

order_result run_client(const config::acme& from, int until, const std::function<void(std::string_view)>& line) {
    std::string last;
    const auto wrong = run(client_of(from), longest_order, until, [&](std::string_view said) {
        last = said;
        line(said);
    });
    if (!wrong) return place(from);
    return failed(std::string(acme_client) + ' ' + *wrong + (last.empty() ? "" : ": " + reason_in(last)));
}

} // namespace

std::shared_ptr<const tls::certificate> issued_certificate(const config::acme& from) {
    const auto found = tls::load_certificate(config::pair_of(from), "", std::chrono::system_clock::now());
    return found.expired_or_not_yet_valid ? nullptr : found.value;
}

bool is_due(const std::shared_ptr<const tls::certificate>& one, const config::acme& by) {
    return !one || std::chrono::system_clock::now() >= renewal_of(one->not_before(), one->not_after(), by.renew_before);
}

order_result order_certificate(const config::acme& from, urgency how, int until,
                               const std::function<void(std::string_view)>& line) {
    try {
        if (auto wrong = make_folders(from)) return failed(std::move(*wrong));
        const folder_lock alone(from.state_dir, patience_with_others, until);
        if (how == urgency::when_due)
            if (auto wrong = wrong_with_clock(from)) return failed(std::move(*wrong));
        const auto there = issued_certificate(from); // by now somebody else may have
        if (how == urgency::when_due && !is_due(there, from)) return {order_result::kind::not_due, there->serial()};
        return run_client(from, until, line);
    } catch (const std::runtime_error& error) {
        return failed(error.what());
    }
}

std::optional<std::string> make_folders(const config::acme& from) {
    const auto make = [](const std::string& path, fs::perms allowed) -> std::optional<std::string> {
        std::error_code ec;
        if (fs::create_directories(path, ec)) fs::permissions(path, allowed, ec);
        if (!ec && fs::is_directory(path, ec)) return std::nullopt;
        return path + " cannot be made" + (ec ? " (" + ec.message() + ")" : "") +
               ": let the user that scoregate runs as write to the directory it is in, or name another";
    };
    constexpr auto own = fs::perms::owner_all;
    constexpr auto shown =
        own | fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read | fs::perms::others_exec;
    if (auto wrong = make(from.state_dir, own)) return wrong;
    if (!from.domain.empty())
        if (auto wrong = make(from.state_dir + '/' + from.domain, own)) return wrong;
    return make(from.challenges(), shown);
}

std::string there_of(const std::string& path) {
    fs::path at = path;
    std::error_code unseen;
    while (!fs::exists(at, unseen) && at.has_relative_path()) at = at.parent_path();
    return at.string();
}

std::string advice_on_other(const std::string& kept, const config::acme& with) {
    return "the name that was drawn and is kept in " + config::drawn_domain_file(with) + ", \"" + kept +
           "\", is of another leafDomainLabel or domainSuffix: write those again, or have another drawn by `scoregate "
           "cert auto --overwrite-existing-domain`, which ends the name that clients use";
}

boost::system::result<bool, std::string> settle_domain(config::acme& from) {
    using result = boost::system::result<bool, std::string>;
    const auto refused = [](std::string why) { return result(boost::system::in_place_error, std::move(why)); };
    try {
        if (auto wrong = make_folders(from)) return refused(std::move(*wrong));
        const folder_lock alone(from.state_dir, patience_with_drawing);
        std::string wrong;
        const auto kept = config::read_drawn_domain(from, wrong); // by now somebody else may have
        if (!wrong.empty()) return refused(std::move(wrong));
        if (!kept.empty() && !config::is_drawn_from(kept, from)) return refused(advice_on_other(kept, from));
        from.domain = kept.empty() ? draw_domain(from) : kept;
        if (!kept.empty()) return result(false);
        if (auto unkept = keep_domain(from)) return refused(std::move(*unkept));
        return result(true);
    } catch (const std::runtime_error& error) {
        return refused(error.what());
    }
}

std::string draw_domain(const config::acme& from) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    constexpr unsigned fair = 256 / letters.size() * letters.size(); // bytes from there on would favour some
    auto domain = *from.leaf_domain_label;
    const auto whole = domain.size() + config::drawn_characters;
    while (domain.size() < whole) {
        unsigned char byte = 0;
        if (RAND_bytes(&byte, 1) != 1) throw std::runtime_error("the random generator failed, so no name was drawn");
        if (byte < fair) domain += letters[byte % letters.size()];
    }
    return domain + '.' + *from.domain_suffix;
}

std::optional<std::string> keep_domain(const config::acme& with) {
    try {
        base::file_replacement(config::drawn_domain_file(with), with.domain + '\n', 0644).commit();
        return std::nullopt;
    } catch (const std::runtime_error& error) {
        return error.what();
    }
}

} // namespace scoregate::app
