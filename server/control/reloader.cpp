#include "control/reloader.hpp"

#include "telemetry/log.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds between_name_look_ups{5};
constexpr std::chrono::seconds patience{1}; // with an editor that truncates before it writes

struct read_again {
    tls::content_digest content;
    config::load_result loaded;
};

} // namespace

tls::content_digest read_content(const config::source& from) {
    tls::content_hash hash;
    std::error_code ec;
    // A pipe gives what it holds once, and that is for load().
    if (!std::filesystem::is_regular_file(from.file, ec)) {
        hash.add("no file");
        return hash.finish();
    }
    std::ifstream file(from.file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    hash.add(file.is_open() && !file.bad() ? "read" : std::strerror(errno));
    hash.add(text);
    return hash.finish();
}

std::vector<std::string> keep_restart_only(config::settings& next, const config::settings& running) {
    std::vector<std::string> changed;
    const auto keep = [&](auto& value, const auto& in_force, const char* pointer) {
        if (value == in_force) return;
        value = in_force;
        changed.emplace_back(pointer);
    };
    keep(next.listen_on.https, running.listen_on.https, "/listen/https");
    keep(next.listen_on.http, running.listen_on.http, "/listen/http");
    keep(next.admin, running.admin, "/admin");
    keep(next.workers, running.workers, "/workers");
    keep(next.limits.max_connections, running.limits.max_connections, "/limits/max_connections");
    keep(next.access_log, running.access_log, "/access_log");
    return changed;
}

reloader::reloader(base::executor where, base::background& files, config::source source, config::settings running,
                   const tls::content_digest& content, tls_reloader& tls, assembly& build, discovery& names,
                   publish out)
    : where_(where),
      files_(files),
      source_(std::move(source)),
      running_(std::move(running)),
      tls_(tls),
      assembly_(build),
      names_(names),
      publish_(std::move(out)),
      unit_("configuration", content, patience),
      watch_(where),
      turn_(where) {}

base::task<config::problems> reloader::reload() {
    co_await turn_.take();
    auto problems = co_await reload_now(true);
    turn_.give_back();
    co_return problems;
}

base::task<config::problems> reloader::reload_now(bool insist) {
    auto read = [from = source_] {
        const auto content = read_content(from); // first: a change meanwhile is then seen as one
        return read_again{content, config::load(from)};
    };
    auto found = co_await files_.run(where_, std::move(read));
    if (!insist && !unit_.worth_reading(found.content, false)) co_return config::problems{}; // somebody was quicker
    auto& loaded = found.loaded;
    auto problems = std::move(loaded.problems);
    tls_material material;
    if (loaded.value) {
        material = co_await tls_.prepare(*loaded.value);
        problems = std::move(material.problems);
    }
    if (!problems.empty()) {
        const bool failed = unit_.refuse(found.content, problems, insist, std::chrono::steady_clock::now());
        if (!failed) problems.clear();
        co_return problems;
    }

    auto next = std::move(*loaded.value);
    for (const auto& pointer : keep_restart_only(next, running_))
        loaded.warnings.push_back(pointer + " has changed, which only a restart applies; the rest is in force");
    co_await names_.resolve(next);
    for (const auto& each : loaded.warnings) telemetry::log().warn("reload: {}", each);
    for (const auto& each : material.alarms) telemetry::log().error("reload: {}", each);
    running_ = std::move(next);
    // Contexts before the snapshot that needs them; what a core is posted arrives in order.
    tls_.adopt(std::move(material), running_);
    publish_(assembly_.build(running_, names_));
    unit_.accept(found.content);
    telemetry::log().info("reload: the configuration is in force");
    co_return config::problems{};
}

base::task<> reloader::follow_file() {
    const auto path = std::filesystem::absolute(source_.file).string();
    for (;;) {
        auto read = [this, path] {
            watch_.follow({path});
            return read_content(source_);
        };
        const auto seen = co_await files_.run(where_, std::move(read));
        co_await turn_.take();
        if (unit_.worth_reading(seen, false)) static_cast<void>(co_await reload_now(false));
        turn_.give_back();
        co_await watch_.due();
    }
}

base::task<> reloader::follow_names() {
    base::tick_timer timer(where_);
    for (;;) {
        timer.expires_after(between_name_look_ups);
        const auto [ec] = co_await timer.async_wait(base::awaited);
        if (ec) co_return;
        if (turn_.taken() || !discovery::has_names(running_)) continue;
        co_await turn_.take();
        const bool changed = co_await names_.resolve(running_);
        if (changed) publish_(assembly_.build(running_, names_));
        turn_.give_back();
    }
}

} // namespace scoregate::control
