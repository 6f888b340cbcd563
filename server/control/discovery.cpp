#include "control/discovery.hpp"

#include "config/forms.hpp"
#include "telemetry/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <optional>

namespace scoregate::control {

namespace asio = boost::asio;

namespace {

using steady = std::chrono::steady_clock;

// While the system's own servers do not answer, it is looked again who they are.
constexpr std::chrono::seconds between_looks_at_the_system{30};

std::optional<asio::ip::address> literal_of(const std::string& host) {
    base::error_code ec;
    const auto address = asio::ip::make_address(host, ec);
    if (ec) return std::nullopt;
    return address;
}

template <class Call>
void for_each_replica(const config::settings& settings, Call call) {
    for (const auto& service : settings.services)
        for (const auto& deployment : service.deployments)
            for (const auto& replica : deployment.replicas) call(service, deployment, replica);
}

routing::replica_settings replica_at(const asio::ip::address& address, std::uint16_t port) {
    const auto host = address.to_string();
    return {"http://" + config::to_text(config::endpoint{host, port}), {{address, port}}, host};
}

void tell(const std::string& name, name_record::news news, const name_answer& answer, bool known) {
    using enum name_record::news;
    auto& log = telemetry::log();
    if (news == recovery)
        log.info("replicas: {} is found again", name);
    else if (news == removed)
        log.warn("replicas: {} has not come back for {} s: what was known of it is removed", name,
                 name_record::grace.count());
    else if ((news == trouble || news == missing) && !known)
        log.warn("replicas: {} is not found ({}): it gets no requests until it is", name, answer.why);
    else if (news == missing)
        log.warn("replicas: {} is not there any more ({}): what was known of it is kept for {} s", name, answer.why,
                 name_record::grace.count());
    else if (news == trouble)
        log.warn("replicas: {} cannot be looked up ({}): the last good answer is kept", name, answer.why);
}

} // namespace

struct discovery::followed {
    followed(key of, base::executor where) : what(std::move(of)), pause(where) {}

    const key what;
    name_record record;
    // Targets that are looked up before they take the place of the known ones.
    std::vector<service_target> coming;
    base::tick_timer pause;
    bool retired = false;
    // Of the last answer, so that each is told once:
    bool has_too_many = false;
    bool deferred = false;
};

discovery::discovery(base::executor where) : where_(where), resolver_(where, {}), asked_since_(steady::now()) {}

std::set<discovery::key> discovery::keys_of(const config::settings& settings) {
    std::set<key> found;
    for_each_replica(settings, [&](const auto&, const auto&, const config::replica& each) {
        if (each.source == config::replica_source::unix_socket) return;
        if (each.source == config::replica_source::srv)
            found.emplace(record_kind::srv, each.host);
        else if (!literal_of(each.host))
            found.emplace(record_kind::address, each.host);
    });
    return found;
}

base::task<> discovery::learn(const config::settings& settings) {
    servers_ = settings.dns.servers;
    limits_ = {settings.dns.min_ttl, settings.dns.max_ttl};
    resolver_.use(servers_);
    asked_since_ = steady::now();
    auto own = keys_of(settings);
    wanted_.insert(own.begin(), own.end());
    reconcile();
    const bool has_targets =
        std::any_of(own.begin(), own.end(), [](const auto& each) { return each.first == record_kind::srv; });
    co_await wait_for_answers(std::move(own), (has_targets ? 2 : 1) * name_resolver::longest_look_up);
}

void discovery::keep_only(const config::settings& settings) {
    wanted_ = keys_of(settings);
    reconcile();
}

// Begins to follow what is missing, and ends what nobody wants any more.
void discovery::reconcile() {
    auto all = wanted_;
    for (const auto& each : wanted_) {
        const auto known = followed_.find(each);
        if (known == followed_.end() || each.first != record_kind::srv) continue;
        for (const auto& list : {known->second->record.targets(), known->second->coming})
            for (const auto& target : list)
                if (!literal_of(target.host)) all.emplace(record_kind::address, target.host);
    }
    for (auto each = followed_.begin(); each != followed_.end();) {
        if (all.contains(each->first)) {
            ++each;
            continue;
        }
        each->second->retired = true;
        each->second->pause.cancel();
        each = followed_.erase(each);
    }
    for (const auto& each : all) {
        auto& place = followed_[each];
        if (place) continue;
        place = std::make_shared<followed>(each, where_);
        base::spawn(where_, following_, follow(place));
    }
    wake(waiting_for_answers_); // nobody waits for what is gone
}

base::task<> discovery::follow(std::shared_ptr<followed> one) {
    const auto& [kind, name] = one->what;
    for (;;) {
        auto answer = co_await look_up(*one);
        if (one->retired) co_return;
        bool deferred = false;
        if (!answer.targets.empty()) {
            const bool too_many = restrict_to(most_targets, answer.targets);
            if (too_many && !std::exchange(one->has_too_many, too_many))
                telemetry::log().warn("replicas: {} has more than {} targets: {} of them are used, the first by name",
                                      name, most_targets, most_targets);
            one->has_too_many = too_many;
            // New targets are looked up first: or there would be none between the old ones and them.
            one->coming = answer.targets;
            reconcile();
            std::set<key> hosts;
            for (const auto& each : one->coming) hosts.emplace(record_kind::address, each.host);
            co_await wait_for_answers(std::move(hosts), name_resolver::longest_look_up);
            if (one->retired) co_return;
            deferred = defers(*one);
            if (deferred && !one->deferred)
                telemetry::log().warn("replicas: none of the new targets of {} is found: those before them are kept",
                                      name);
        }
        one->deferred = deferred;
        if (!deferred) { // else they go on being looked up
            const bool known = !one->record.addresses().empty() || !one->record.targets().empty();
            const auto outcome = one->record.take(answer, steady::now(), limits_);
            one->coming.clear();
            tell(name, outcome.told, answer, known);
            if (outcome.changed) announce();
            if (kind == record_kind::srv) reconcile();
            wake(waiting_for_answers_);
        }
        if (answer.what == name_answer::kind::failed && servers_.empty() &&
            steady::now() - asked_since_ >= between_looks_at_the_system) {
            resolver_.use(servers_);
            asked_since_ = steady::now();
        }
        one->pause.expires_at(one->record.due());
        co_await one->pause.async_wait(base::awaited);
        if (one->retired) co_return;
    }
}

base::task<name_answer> discovery::look_up(const followed& one) {
    const auto [kind, name] = one.what;
    if (kind == record_kind::srv) co_return co_await resolver_.targets(name);
    if (!wanted_.contains(one.what)) co_return co_await look_up_target(name);
    co_return co_await resolver_.addresses(name);
}

// An answer names as many targets as it likes. They wait for one another, and for nobody else.
base::task<name_answer> discovery::look_up_target(std::string host) {
    const auto until = base::tick_timer::clock_type::now() + name_resolver::longest_look_up;
    while (target_look_ups_ >= most_target_look_ups) {
        if (base::tick_timer::clock_type::now() >= until)
            co_return name_answer{.what = name_answer::kind::failed, .why = "too many targets hang"};
        base::tick_timer turn(where_, until);
        waiting_for_turn_.insert(&turn);
        co_await turn.async_wait(base::awaited);
        waiting_for_turn_.erase(&turn);
    }
    ++target_look_ups_;
    auto answer = co_await resolver_.addresses(std::move(host));
    --target_look_ups_;
    wake(waiting_for_turn_);
    co_return answer;
}

// Whether the answer that is coming is put off: it has new targets, and none of them can be reached.
bool discovery::defers(followed& one) const {
    const auto& before = one.record.targets();
    bool has_new = false, gone = true;
    for (const auto& each : one.coming) {
        if (std::find(before.begin(), before.end(), each) != before.end()) continue;
        has_new = true;
        if (literal_of(each.host)) return false;
        const auto found = followed_.find({record_kind::address, each.host});
        if (found == followed_.end()) continue;
        if (!found->second->record.addresses().empty()) return false;
        gone = gone && found->second->record.missing();
    }
    return has_new && one.record.defer(steady::now(), gone);
}

void discovery::wake(std::set<base::tick_timer*>& those) {
    for (auto* each : those) each->cancel();
}

base::task<> discovery::wait_for_answers(std::set<key> of, std::chrono::seconds longest) {
    const auto until = base::tick_timer::clock_type::now() + longest;
    const auto missing = [&](const key& each) {
        const auto found = followed_.find(each);
        return found != followed_.end() && !found->second->record.answered();
    };
    while (std::any_of(of.begin(), of.end(), missing) && base::tick_timer::clock_type::now() < until) {
        base::tick_timer wait(where_, until);
        waiting_for_answers_.insert(&wait);
        co_await wait.async_wait(base::awaited);
        waiting_for_answers_.erase(&wait);
    }
}

void discovery::announce() {
    if (std::exchange(*announced_, true)) return;
    asio::post(where_, [this, announced = announced_] {
        *announced = false;
        if (on_change_) on_change_();
    });
}

std::vector<routing::replica_settings> discovery::replicas(const config::replica& of) const {
    const auto known = [this](record_kind kind, const std::string& name) -> const name_record* {
        const auto found = followed_.find({kind, name});
        return found == followed_.end() ? nullptr : &found->second->record;
    };
    std::vector<routing::replica_settings> found;
    const auto add_each = [&](const std::string& host, std::uint16_t port) {
        if (const auto literal = literal_of(host)) found.push_back(replica_at(*literal, port));
        const auto* const record = known(record_kind::address, host);
        if (record == nullptr) return;
        for (const auto& each : record->addresses()) found.push_back(replica_at(each, port));
    };
    switch (of.source) {
    case config::replica_source::host: {
        routing::replica_settings one{of.url, {}, of.host};
        if (const auto literal = literal_of(of.host))
            one.addresses.emplace_back(*literal, of.port);
        else if (const auto* const record = known(record_kind::address, of.host))
            for (const auto& each : record->addresses()) one.addresses.emplace_back(each, of.port);
        found.push_back(std::move(one));
        break;
    }
    case config::replica_source::dns: add_each(of.host, of.port); break;
    case config::replica_source::srv:
        if (const auto* const record = known(record_kind::srv, of.host))
            for (const auto& each : record->targets()) add_each(each.host, each.port);
        break;
    case config::replica_source::unix_socket: {
        routing::replica_settings one{of.url, {}, "localhost"};
        one.unix_path = of.host;
        found.push_back(std::move(one));
        break;
    }
    }
    return found;
}

std::vector<std::string> look_ups_of(const config::settings& settings) {
    std::vector<std::string> lines;
    for_each_replica(settings, [&](const auto& service, const auto& deployment, const config::replica& each) {
        std::string meaning;
        switch (each.source) {
        case config::replica_source::host:
            if (literal_of(each.host)) return;
            meaning = "one replica, at the addresses of " + each.host;
            break;
        case config::replica_source::dns: meaning = "a replica for each address of " + each.host; break;
        case config::replica_source::srv:
            meaning = "a replica for each address of each target of the SRV records of " + each.host;
            break;
        case config::replica_source::unix_socket: return;
        }
        lines.push_back(service.name + '/' + deployment.name + ": " + each.url + " is looked up: " + meaning);
    });
    return lines;
}

} // namespace scoregate::control
