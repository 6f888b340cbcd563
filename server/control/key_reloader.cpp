#include "control/key_reloader.hpp"

#include "telemetry/log.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::control {

namespace {

using steady_clock = std::chrono::steady_clock;

// How long files may be no good while they are being replaced.
constexpr std::chrono::seconds patience{10};
// Longer than any disk takes: then it is a volume that hangs.
constexpr std::chrono::seconds read_limit{10};
constexpr auto too_slow = "cannot be read within 10 s: look at the volume that its files are on";

key_material read_all(const std::vector<auth::credential_source>& sources, const std::string& config_file) {
    key_material found;
    for (const auto& each : sources) {
        auto loaded = auth::load_credentials(each, config_file);
        found.problems.insert(found.problems.end(), loaded.problems.begin(), loaded.problems.end());
        for (const auto& warning : loaded.warnings) // services may share a file
            if (std::ranges::find(found.warnings, warning) == found.warnings.end()) found.warnings.push_back(warning);
        found.loaded.emplace(each.service, std::move(loaded));
    }
    return found;
}

std::vector<auth::credential_source> sources_of(const std::vector<config::service>& services,
                                                const std::optional<std::string>& admin_token_file) {
    std::vector<auth::credential_source> sources;
    for (const auto& each : services)
        if (auto source = auth::source_of(each)) sources.push_back(std::move(*source));
    if (admin_token_file) sources.push_back({"", auth::admin_token{*admin_token_file}});
    return sources;
}

std::vector<auth::credential_source> sources_of(const config::settings& from) {
    return sources_of(from.services, from.admin.token_file);
}

} // namespace

key_material read_keys(const std::vector<config::service>& services, const std::optional<std::string>& admin_token_file,
                       const std::string& config_file) {
    return read_all(sources_of(services, admin_token_file), config_file);
}

key_reloader::key_reloader(base::executor where, base::background& files, std::function<void()> changed)
    : where_(where),
      files_(files),
      changed_(std::move(changed)),
      watch_(where),
      looked_(where, base::tick_timer::time_point::max()) {
    looks_.when_empty([this] { looked_.cancel(); });
}

base::task<key_material> key_reloader::prepare(const config::settings& next) {
    auto fresh = sources_of(next);
    std::erase_if(fresh, [this](const auto& each) {
        const auto known = units_.find(each.service);
        return known != units_.end() && known->second->from == each;
    });
    auto read = [fresh = std::move(fresh), file = next.file] { return read_all(fresh, file); };
    auto found = co_await files_.run(where_, preparing_, read_limit, std::move(read));
    if (!found) found = key_material{{}, {{next.file, "/services", std::string("a file of keys ") + too_slow}}, {}};
    co_return std::move(*found);
}

void key_reloader::adopt(key_material found, const config::settings& next) {
    config_file_ = next.file;
    std::map<std::string, std::shared_ptr<service_unit>> units;
    for (auto& each : sources_of(next)) {
        const auto known = units_.find(each.service);
        if (known != units_.end() && known->second->from == each) {
            known->second->from = std::move(each); // its place in the configuration may be another
            units.insert(*known);
            continue;
        }
        auto& loaded = found.loaded.at(each.service);
        auto made = std::make_shared<service_unit>(
            service_unit{each, {each.unit(), loaded.content, patience}, std::move(loaded.value)});
        units.emplace(each.service, std::move(made));
    }
    units_ = std::move(units);
    watch_.hurry(); // there may be other files to follow
}

auth::credentials key_reloader::of(const std::string& service) const {
    const auto found = units_.find(service);
    return found == units_.end() ? auth::credentials{} : found->second->value;
}

void key_reloader::begin_looks(bool insist) {
    for (const auto& [service, each] : units_) {
        if (each->looking || each->lane.busy()) continue; // a read that was given up may still hang
        each->looking = true;
        base::spawn(where_, looks_, look_at(service, each, insist));
    }
}

base::task<> key_reloader::look_at(std::string service, std::shared_ptr<service_unit> one, bool insist) {
    co_await read(std::move(service), one, insist);
    one->looking = false;
}

base::task<> key_reloader::read(std::string service, std::shared_ptr<service_unit> one, bool insist) {
    const auto in_force = [&] {
        const auto found = units_.find(service);
        return found != units_.end() && found->second == one;
    };
    auto load = [this, from = one->from, file = config_file_] {
        watch_.follow(from.files());
        return auth::load_credentials(from, file);
    };
    auto loaded = co_await files_.run(where_, one->lane, read_limit, std::move(load));
    if (!in_force()) co_return; // another configuration came meanwhile
    const auto now = steady_clock::now();
    if (!loaded) {
        const auto& own = one->from.file();
        config::problems hung{{own.empty() ? config_file_ : own, one->from.pointer(), too_slow}};
        one->unit.refuse({}, std::move(hung), true, now);
        co_return;
    }
    const bool again = insist && !one->unit.past().last_succeeded;
    if (!one->unit.worth_reading(loaded->content, now) && !again) co_return;
    if (!loaded->value) {
        one->unit.refuse(loaded->content, std::move(loaded->problems), insist, now);
        co_return;
    }
    for (const auto& each : loaded->warnings) telemetry::log().warn("{}", each);
    one->value = std::move(loaded->value);
    changed_();
    one->unit.accept(loaded->content);
    telemetry::log().info("reload: {} is in force", one->unit.name());
}

base::task<> key_reloader::quiet() {
    while (looks_.inside() != 0) co_await looked_.async_wait(base::awaited);
}

base::task<> key_reloader::reload() {
    co_await quiet();
    begin_looks(true);
    co_await quiet();
}

config::problems key_reloader::problems() const {
    config::problems all;
    for (const auto& [service, each] : units_) {
        const auto& some = each->unit.past().last_problems;
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

base::task<> key_reloader::follow() {
    for (;;) {
        co_await watch_.due();
        begin_looks(false);
    }
}

} // namespace scoregate::control
