#include "control/tls_reloader.hpp"

#include "base/give_way.hpp"
#include "telemetry/log.hpp"
#include "tls/server_context.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace scoregate::control {

namespace {

using system_clock = std::chrono::system_clock;
using steady_clock = std::chrono::steady_clock;

// How long a pair may be inconsistent while its two files are being replaced, and for how much of it who asks for a
// reload is kept waiting.
constexpr std::chrono::seconds patience{10};
constexpr std::chrono::milliseconds patience_of_who_asks{1500}, between_looks{100};
// Longer than any disk takes: then it is a volume that hangs.
constexpr std::chrono::seconds read_limit{10};
constexpr auto too_slow = "cannot be read within 10 s: look at the volume that its files are on";
constexpr auto ticket_pointer = "/ticket_keys_dir";
constexpr auto client_pointer = "/client_ca/file";

config::problem pair_problem(const config::certificate_files& files, const std::string& config_file,
                             std::string message) {
    return {config_file, files.pointer + (files.secret.empty() ? "/sslCertPemFile" : "/sslSecret"), std::move(message)};
}

void append(config::problems& to, const config::problems& more) { to.insert(to.end(), more.begin(), more.end()); }

// What only OpenSSL can object to, such as the system's crypto policy.
void try_out(tls_material::pair& pair, const std::string& config_file) {
    try {
        const auto alone = std::make_shared<tls::certificate_store>(std::vector{pair.loaded.value}, pair.files.cname);
        static_cast<void>(tls::make_server_context(alone, tls::own_ticket_keys(steady_clock::now()).current()));
    } catch (const std::runtime_error& reason) {
        pair.loaded.problems.push_back(pair_problem(pair.files, config_file, reason.what()));
    }
}

tls_material::pair read_pair(const config::certificate_files& files, bool refuse_expired,
                             const std::string& config_file, tls::pace how) {
    tls_material::pair made{files, tls::load_certificate(files, config_file, system_clock::now(), how)};
    if (refuse_expired && made.loaded.expired_or_not_yet_valid)
        made.loaded.problems.push_back(
            pair_problem(files, config_file,
                         "the certificate is outside its validity and refuse_expired is true: put a valid one in "
                         "place"));
    if (how == tls::pace::giving_way) base::give_way();
    if (made.loaded.value) try_out(made, config_file);
    if (!made.loaded.problems.empty()) made.loaded.value.reset();
    return made;
}

bool valid_now(const std::shared_ptr<const tls::certificate>& one) {
    const auto now = system_clock::now();
    return one && one->not_before() <= now && now <= one->not_after();
}

// Of a pair that a provider issues nothing is missing: another is ordered. What is there and no good is worth a word.
void await_issue(tls_material::pair& pair, std::vector<std::string>& alarms) {
    std::error_code ec;
    if (std::filesystem::exists(pair.files.certificate, ec))
        for (const auto& each : pair.loaded.problems)
            alarms.push_back(each.message + "; until another has been issued HTTPS stays closed");
    pair.loaded.problems.clear();
    pair.loaded.warnings.clear();
}

config::problem no_better(const config::certificate_files& files, const std::string& config_file) {
    return pair_problem(files, config_file,
                        "the new certificate is outside its validity, the one in force is not: put a valid one in "
                        "place");
}

config::problems problems_at(const char* pointer, const std::vector<std::string>& sentences,
                             const std::string& config_file) {
    config::problems made;
    for (const auto& each : sentences) made.push_back({config_file, pointer, each});
    return made;
}

} // namespace

tls_material read_tls(const std::vector<config::certificate_files>& pairs,
                      const std::optional<std::string>& ticket_keys_dir,
                      const std::optional<config::client_ca>& client_ca, bool refuse_expired,
                      const std::string& config_file) {
    tls_material found;
    const auto alarm = [&found](const std::vector<std::string>& warnings) {
        found.alarms.insert(found.alarms.end(), warnings.begin(), warnings.end());
    };
    for (const auto& files : pairs) {
        auto pair = read_pair(files, refuse_expired, config_file, tls::pace::at_once);
        if (files.awaited && !pair.loaded.value) await_issue(pair, found.alarms);
        append(found.problems, pair.loaded.problems);
        alarm(pair.loaded.warnings);
        found.outside_validity = found.outside_validity || (pair.loaded.value && pair.loaded.expired_or_not_yet_valid);
        found.pairs.push_back(std::move(pair));
    }
    if (ticket_keys_dir) {
        found.tickets = tls::read_ticket_keys(*ticket_keys_dir);
        append(found.problems, problems_at(ticket_pointer, found.tickets->problems, config_file));
        alarm(found.tickets->warnings);
    }
    if (client_ca) {
        found.clients = tls::load_client_trust(*client_ca, system_clock::now());
        append(found.problems, problems_at(client_pointer, found.clients->problems, config_file));
        alarm(found.clients->warnings);
    }
    return found;
}

tls_reloader::tls_reloader(base::executor where, base::background& files, unsigned cores, publish out)
    : where_(where),
      files_(files),
      cores_(cores),
      publish_(std::move(out)),
      own_tickets_(steady_clock::now()),
      watch_(where),
      looked_(where, base::tick_timer::time_point::max()) {
    looks_.when_empty([this] { looked_.cancel(); });
}

base::task<tls_material> tls_reloader::prepare(const config::settings& next) {
    std::vector<config::certificate_files> fresh;
    for (const auto& files : next.certificates)
        if (std::none_of(pairs_.begin(), pairs_.end(), [&](const auto& each) { return each->files == files; }))
            fresh.push_back(files);
    auto folder =
        next.certificates.empty() || next.ticket_keys_dir == ticket_folder_ ? std::nullopt : next.ticket_keys_dir;
    auto clients = next.certificates.empty() || next.client_ca == client_ca_ ? std::nullopt : next.client_ca;
    auto read = [fresh = std::move(fresh), folder = std::move(folder), clients = std::move(clients),
                 refuse = next.refuse_expired,
                 file = next.file] { return read_tls(fresh, folder, clients, refuse, file); };
    auto found = co_await files_.run(where_, preparing_, read_limit, std::move(read));
    if (!found) {
        found.emplace();
        found->problems.push_back({next.file, "/sslCertPemFile", too_slow});
    }
    for (const auto& fresh_one : found->pairs) {
        const auto better = std::find_if(pairs_.begin(), pairs_.end(), [&](const auto& each) {
            return each->files.cname == fresh_one.files.cname && valid_now(each->value);
        });
        if (fresh_one.loaded.expired_or_not_yet_valid && better != pairs_.end())
            found->problems.push_back(no_better(fresh_one.files, next.file));
    }
    co_return std::move(*found);
}

void tls_reloader::adopt(tls_material found, const config::settings& next) {
    if (!to_tell_.empty()) publish_contexts(); // of units that may not be there afterwards
    config_file_ = next.file;
    refuse_expired_ = next.refuse_expired;

    std::vector<std::shared_ptr<pair>> pairs;
    for (const auto& files : next.certificates) {
        const auto is_it = [&files](const auto& each) { return each.files == files; };
        const auto kept = std::find_if(pairs_.begin(), pairs_.end(), [&](const auto& each) { return is_it(*each); });
        if (kept != pairs_.end()) {
            pairs.push_back(*kept);
        } else {
            auto& loaded = std::find_if(found.pairs.begin(), found.pairs.end(), is_it)->loaded;
            pairs.push_back(std::make_shared<pair>(
                pair{files, {"", loaded.content, patience}, std::move(loaded.value), loaded.chain_incomplete}));
        }
        pairs.back()->files = files; // its place in the configuration may be another
        const auto namesakes = std::count_if(pairs.begin(), pairs.end(),
                                             [&files](const auto& each) { return each->files.cname == files.cname; });
        pairs.back()->unit.rename("certificate:" + files.cname +
                                  (namesakes == 1 ? "" : '#' + std::to_string(namesakes)));
    }
    bool changed = pairs != pairs_;
    pairs_ = std::move(pairs);

    const auto folder = pairs_.empty() ? std::nullopt : next.ticket_keys_dir;
    if (folder != ticket_folder_) {
        changed = true;
        ticket_folder_ = folder;
        ticket_unit_.reset();
        shared_tickets_ = {};
        if (found.tickets) {
            ticket_unit_.emplace("ticket_keys", found.tickets->content, patience);
            shared_tickets_.update(*found.tickets, steady_clock::now());
        }
    }
    const auto client_ca = pairs_.empty() ? std::nullopt : next.client_ca;
    if (client_ca != client_ca_) {
        changed = true;
        client_ca_ = client_ca;
        client_unit_.reset();
        clients_.reset();
        if (found.clients) {
            client_unit_.emplace("client_ca", found.clients->content, patience);
            clients_ = std::move(found.clients->value);
        }
    }
    if (!changed) return;
    publish_contexts();
    warn_of_expiry();
    watch_.hurry(); // there are other files to follow
}

void tls_reloader::begin_looks(bool insist) {
    // A lane is busy besides with a read that was given up and still hangs.
    for (const auto& each : pairs_) {
        if (each->looking || each->lane.busy()) continue;
        each->looking = true;
        base::spawn(where_, looks_, look_at(each, insist));
    }
    if (ticket_unit_ && !looking_at_tickets_ && !ticket_lane_.busy()) {
        looking_at_tickets_ = true;
        base::spawn(where_, looks_, look_at_tickets(insist));
    }
    if (client_unit_ && !looking_at_clients_ && !client_lane_.busy()) {
        looking_at_clients_ = true;
        base::spawn(where_, looks_, look_at_clients(insist));
    }
}

base::task<> tls_reloader::look_at(std::shared_ptr<pair> one, bool insist) {
    co_await read(one, insist);
    one->looking = false;
}

base::task<> tls_reloader::look_at_tickets(bool insist) {
    co_await read_tickets(insist);
    looking_at_tickets_ = false;
}

base::task<> tls_reloader::look_at_clients(bool insist) {
    co_await read_clients(insist);
    looking_at_clients_ = false;
}

void tls_reloader::give_up(pair& one) {
    config::problems hung{pair_problem(one.files, config_file_, too_slow)};
    one.unit.refuse({}, std::move(hung), true, steady_clock::now());
}

base::task<> tls_reloader::quiet() {
    while (looks_.inside() != 0) co_await looked_.async_wait(base::awaited);
}

base::task<> tls_reloader::look(bool insist) {
    co_await quiet();
    begin_looks(insist);
    co_await quiet();
    if (!to_tell_.empty()) publish_contexts();
}

base::task<> tls_reloader::reload() {
    const auto end = steady_clock::now() + patience_of_who_asks;
    base::tick_timer pause(where_);
    const auto any_waits = [this] {
        return (ticket_unit_ && ticket_unit_->waiting()) || (client_unit_ && client_unit_->waiting()) ||
               std::any_of(pairs_.begin(), pairs_.end(), [](const auto& each) { return each->unit.waiting(); });
    };
    for (;;) {
        co_await look(false);
        if (!any_waits() || steady_clock::now() >= end) break;
        pause.expires_after(between_looks);
        co_await pause.async_wait(base::awaited);
    }
    co_await look(true);
}

config::problems tls_reloader::problems() const {
    config::problems all;
    for (const auto& each : pairs_) append(all, each->unit.past().last_problems);
    for (const auto* each : {&ticket_unit_, &client_unit_})
        if (*each) append(all, (*each)->past().last_problems);
    return all;
}

bool tls_reloader::awaits_issue() const {
    return std::any_of(pairs_.begin(), pairs_.end(), [](const auto& each) { return !each->value; });
}

bool tls_reloader::in_force(const std::shared_ptr<pair>& one) const {
    return std::find(pairs_.begin(), pairs_.end(), one) != pairs_.end();
}

base::task<> tls_reloader::read(std::shared_ptr<pair> one, bool insist) {
    auto look = [this, files = one->files] {
        if (files.secret.empty())
            watch_.follow({files.certificate, files.key});
        else // files in the folder, so that the folder itself is what is followed
            watch_.follow({files.secret + "/tls.crt", files.secret + "/cert.pem"});
        return tls::read_content(files);
    };
    const auto seen = co_await files_.run(where_, one->lane, read_limit, std::move(look));
    if (!in_force(one)) co_return; // another configuration came meanwhile
    if (!seen) co_return give_up(*one);
    const bool again = insist && !one->unit.past().last_succeeded;
    const bool awaits = insist && !one->value; // what it lacked may lie outside of its content, such as the date
    if (!one->unit.worth_reading(*seen, steady_clock::now()) && !again && !awaits) co_return;

    const auto how = loading_ < base::background::threads ? tls::pace::giving_way : tls::pace::at_once;
    auto load = [files = one->files, refuse = refuse_expired_, file = config_file_, how] {
        return read_pair(files, refuse, file, how).loaded;
    };
    ++loading_;
    auto loaded = co_await files_.run(where_, one->lane, read_limit, std::move(load));
    --loading_;
    if (!in_force(one)) co_return;
    if (!loaded) co_return give_up(*one);
    // By now the files may hold again what is in force.
    if (!one->unit.worth_reading(loaded->content, steady_clock::now()) && !again && !(awaits && loaded->value))
        co_return;
    take(one, std::move(*loaded), insist);
}

void tls_reloader::take(const std::shared_ptr<pair>& one, tls::certificate_load loaded, bool insist) {
    const auto now = steady_clock::now();
    auto& problems = loaded.problems;
    if (loaded.value && loaded.expired_or_not_yet_valid && valid_now(one->value))
        problems.push_back(no_better(one->files, config_file_));
    if (!problems.empty()) {
        one->unit.refuse(loaded.content, std::move(problems), insist, now);
        return;
    }
    // A chain that is just being written in place looks like this, too.
    if (loaded.chain_incomplete && !one->chain_incomplete && !insist && one->unit.wait(now)) return;
    for (const auto& each : loaded.warnings) telemetry::log().error("{}", each);
    one->chain_incomplete = loaded.chain_incomplete;
    one->told = tls::expiry_stage::fine;
    const auto before = std::exchange(one->value, std::move(loaded.value));
    publish_soon([one, content = loaded.content, before = before ? before->serial() : "none"] {
        one->unit.accept(content);
        telemetry::log().info("reload: {} is in force: serial {} in place of {}", one->unit.name(),
                              one->value->serial(), before);
    });
}

base::task<> tls_reloader::read_tickets(bool insist) {
    const auto folder = *ticket_folder_;
    auto read = [this, folder] {
        watch_.follow({folder + "/newest.key"}); // any name: the folder is what is followed
        return tls::read_ticket_keys(folder);
    };
    auto found = co_await files_.run(where_, ticket_lane_, read_limit, std::move(read));
    if (ticket_folder_ != folder) co_return;
    const auto now = steady_clock::now();
    if (!found) {
        config::problems hung{{config_file_, ticket_pointer, too_slow}};
        ticket_unit_->refuse({}, std::move(hung), true, now);
        co_return;
    }
    const bool again = insist && !ticket_unit_->past().last_succeeded;
    if (!ticket_unit_->worth_reading(found->content, now) && !again) co_return;
    if (auto problems = problems_at(ticket_pointer, found->problems, config_file_); !problems.empty()) {
        ticket_unit_->refuse(found->content, std::move(problems), insist, now);
        co_return;
    }
    for (const auto& each : found->warnings) telemetry::log().warn("{}", each);
    auto tell = [this, content = found->content, count = found->keys.size()] {
        ticket_unit_->accept(content);
        telemetry::log().info("reload: ticket_keys: {} keys are in force", count);
    };
    if (shared_tickets_.update(*found, now))
        publish_soon(std::move(tell));
    else
        tell();
}

base::task<> tls_reloader::read_clients(bool insist) {
    const auto from = *client_ca_;
    auto look = [this, from] {
        watch_.follow({from.file});
        return tls::read_content(from);
    };
    const auto seen = co_await files_.run(where_, client_lane_, read_limit, std::move(look));
    if (client_ca_ != from) co_return;
    const bool again = insist && !client_unit_->past().last_succeeded;
    if (seen && !client_unit_->worth_reading(*seen, steady_clock::now()) && !again) co_return;

    std::optional<tls::client_trust_load> loaded;
    if (seen) {
        auto load = [from] { return tls::load_client_trust(from, system_clock::now()); };
        loaded = co_await files_.run(where_, client_lane_, read_limit, std::move(load));
        if (client_ca_ != from) co_return;
    }
    const auto now = steady_clock::now();
    if (!loaded) {
        config::problems hung{{config_file_, client_pointer, too_slow}};
        client_unit_->refuse({}, std::move(hung), true, now);
        co_return;
    }
    // By now the file may hold again what is in force.
    if (!client_unit_->worth_reading(loaded->content, now) && !again) co_return;
    if (auto problems = problems_at(client_pointer, loaded->problems, config_file_); !problems.empty()) {
        client_unit_->refuse(loaded->content, std::move(problems), insist, now);
        co_return;
    }
    for (const auto& each : loaded->warnings) telemetry::log().warn("{}", each);
    clients_ = std::move(loaded->value);
    publish_soon([this, content = loaded->content] {
        client_unit_->accept(content);
        telemetry::log().info("reload: client_ca: {} authorities are in force", clients_->authorities().size());
    });
}

base::task<> tls_reloader::follow() {
    constexpr std::chrono::minutes between_warnings{1};
    auto next_warnings = steady_clock::now() + between_warnings;
    for (;;) {
        co_await watch_.due();
        begin_looks(false);
        if (rotate_tickets()) publish_contexts();
        if (const auto now = steady_clock::now(); now >= next_warnings) {
            next_warnings = now + between_warnings;
            warn_of_expiry();
        }
    }
}

// True if another key encrypts now, or one is gone.
bool tls_reloader::rotate_tickets() {
    const auto now = steady_clock::now();
    const bool rotated = own_tickets_.rotate(now); // also while they are not used: none lies about for longer
    if (!ticket_folder_) return rotated && !pairs_.empty();
    const bool changed = shared_tickets_.advance(now);
    const auto overdue = shared_tickets_.overdue(now);
    if (overdue && !overdue_told_) telemetry::log().warn("{}: {}", *ticket_folder_, *overdue);
    overdue_told_ = overdue.has_value();
    return changed;
}

void tls_reloader::warn_of_expiry() {
    const auto now = system_clock::now();
    for (const auto& each : pairs_) {
        if (!each->value) continue;
        const auto stage = tls::stage_of(each->value->not_before(), each->value->not_after(), now);
        if (stage <= each->told) continue;
        each->told = stage;
        const auto text = tls::expiry_warning(*each->value, each->files.cname, stage, now);
        if (stage == tls::expiry_stage::expired)
            telemetry::log().error("{}", text);
        else
            telemetry::log().warn("{}", text);
    }
}

// At once would be once for each of many pairs that are renewed together. `tell` says that a reload has succeeded: no
// sooner than the cores have been posted what it changed.
void tls_reloader::publish_soon(std::function<void()> tell) {
    to_tell_.push_back(std::move(tell));
    if (to_tell_.size() != 1) return;
    base::asio::post(where_, [this] {
        if (!to_tell_.empty()) publish_contexts();
    });
}

void tls_reloader::publish_contexts() {
    std::vector<tls::ssl_ctx_ptr> contexts(cores_);
    if (!pairs_.empty() && !awaits_issue()) {
        std::vector<std::shared_ptr<const tls::certificate>> all;
        for (const auto& each : pairs_) all.push_back(each->value);
        const auto store = std::make_shared<const tls::certificate_store>(std::move(all), pairs_.front()->files.cname);
        for (const auto& each : store->warnings()) telemetry::log().warn("{}", each);
        const auto tickets = ticket_folder_ ? shared_tickets_.current() : own_tickets_.current();
        for (auto& context : contexts) context = tls::make_server_context(store, tickets, clients_);
    }
    const auto trust = clients_ ? clients_->id() : tls::content_digest{};
    const bool others = std::exchange(published_trust_, trust) != trust;
    publish_(std::move(contexts), others ? open_connections::finish : open_connections::stay);
    for (const auto& tell : std::exchange(to_tell_, {})) tell();
}

} // namespace scoregate::control
