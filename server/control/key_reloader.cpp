#include "control/key_reloader.hpp"

#include "telemetry/log.hpp"

#include <utility>

namespace scoregate::control {

namespace {

using steady_clock = std::chrono::steady_clock;

// How long files may be no good while they are being replaced.
constexpr std::chrono::seconds patience{10};
// Longer than any disk takes: then it is a volume that hangs.
constexpr std::chrono::seconds read_limit{10};
constexpr auto too_slow = "cannot be read within 10 s: look at the volume that its files are on";

void add(key_material& to, const std::string& service, auth::key_load loaded) {
    to.problems.insert(to.problems.end(), loaded.problems.begin(), loaded.problems.end());
    to.warnings.insert(to.warnings.end(), loaded.warnings.begin(), loaded.warnings.end());
    to.loaded.emplace(service, std::move(loaded));
}

} // namespace

key_material read_keys(const std::vector<config::service>& services, const std::string& config_file) {
    key_material found;
    for (const auto& each : services)
        if (each.keys) add(found, each.name, auth::load_keys(*each.keys, config_file));
    return found;
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
    std::vector<config::service> fresh;
    for (const auto& each : next.services) {
        const auto known = units_.find(each.name);
        if (each.keys && (known == units_.end() || known->second->files != *each.keys)) fresh.push_back(each);
    }
    auto read = [fresh = std::move(fresh), file = next.file] { return read_keys(fresh, file); };
    auto found = co_await files_.run(where_, preparing_, read_limit, std::move(read));
    if (!found) found = key_material{{}, {{next.file, "/services", std::string("a file of keys ") + too_slow}}, {}};
    co_return std::move(*found);
}

void key_reloader::adopt(key_material found, const config::settings& next) {
    config_file_ = next.file;
    std::map<std::string, std::shared_ptr<service_unit>> units;
    for (const auto& each : next.services) {
        if (!each.keys) continue;
        const auto known = units_.find(each.name);
        if (known != units_.end() && known->second->files == *each.keys) {
            known->second->files = *each.keys; // its place in the configuration may be another
            units.insert(*known);
            continue;
        }
        auto& loaded = found.loaded.at(each.name);
        units.emplace(each.name, std::make_shared<service_unit>(service_unit{
                                     *each.keys, {"keys:" + each.name, loaded.content, patience}, loaded.value}));
    }
    units_ = std::move(units);
    watch_.hurry(); // there may be other files to follow
}

std::shared_ptr<const auth::service_keys> key_reloader::of(const std::string& service) const {
    const auto found = units_.find(service);
    return found == units_.end() ? nullptr : found->second->value;
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
    auto load = [this, files = one->files, file = config_file_] {
        watch_.follow(files.secondary ? std::vector{files.primary, *files.secondary} : std::vector{files.primary});
        return auth::load_keys(files, file);
    };
    auto loaded = co_await files_.run(where_, one->lane, read_limit, std::move(load));
    if (!in_force()) co_return; // another configuration came meanwhile
    const auto now = steady_clock::now();
    if (!loaded) {
        config::problems hung{{config_file_, one->files.pointer, too_slow}};
        one->unit.refuse({}, std::move(hung), true, now);
        co_return;
    }
    const bool again = insist && !one->unit.past().last_succeeded;
    if (!one->unit.worth_reading(loaded->content, now) && !again) co_return;
    if (!loaded->value) {
        one->unit.refuse(loaded->content, std::move(loaded->problems), insist, now);
        co_return;
    }
    one->unit.accept(loaded->content);
    for (const auto& each : loaded->warnings) telemetry::log().warn("{}", each);
    telemetry::log().info("reload: {} is in force", one->unit.name());
    one->value = std::move(loaded->value);
    changed_();
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
