#include "control/reloader.hpp"

#include "telemetry/log.hpp"

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds between_name_look_ups{5};

} // namespace

std::vector<std::string> keep_restart_only(config::settings& next, const config::settings& running) {
    std::vector<std::string> changed;
    const auto keep = [&](auto& value, const auto& in_force, const char* pointer) {
        if (value == in_force) return;
        value = in_force;
        changed.emplace_back(pointer);
    };
    keep(next.allow_insecure_connections, running.allow_insecure_connections, "/allowInsecureConnections");
    keep(next.certificate, running.certificate, "/sslCertPemFile, /sslKeyPemFile or /sslCname");
    keep(next.refuse_expired, running.refuse_expired, "/refuse_expired");
    keep(next.listen_on, running.listen_on, "/listen");
    keep(next.admin, running.admin, "/admin");
    keep(next.workers, running.workers, "/workers");
    keep(next.limits.max_connections, running.limits.max_connections, "/limits/max_connections");
    keep(next.access_log, running.access_log, "/access_log");
    return changed;
}

reloader::reloader(base::executor where, config::source source, config::settings running, assembly& build,
                   discovery& names, publish out)
    : where_(where),
      source_(std::move(source)),
      running_(std::move(running)),
      assembly_(build),
      names_(names),
      publish_(std::move(out)),
      idle_(where, base::tick_timer::time_point::max()) {}

base::task<reloader::outcome> reloader::reload() {
    while (busy_) co_await idle_.async_wait(base::awaited);
    busy_ = true;
    auto done = co_await reload_now();
    busy_ = false;
    idle_.cancel();

    past_.last_at = std::chrono::system_clock::now();
    past_.last_succeeded = done.problems.empty();
    past_.last_problems = done.problems;
    ++(past_.last_succeeded ? past_.succeeded : past_.failed);
    for (const auto& each : done.warnings) telemetry::log().warn("reload: {}", each);
    for (const auto& each : done.problems) telemetry::log().error("reload: {}", to_string(each));
    if (past_.last_succeeded)
        telemetry::log().info("reload: the configuration is in force");
    else
        telemetry::log().error("reload: refused, the configuration from before stays in force");
    co_return done;
}

base::task<reloader::outcome> reloader::reload_now() {
    auto loaded = config::load(source_);
    if (!loaded.value) co_return outcome{std::move(loaded.problems), std::move(loaded.warnings)};
    auto next = std::move(*loaded.value);
    for (const auto& pointer : keep_restart_only(next, running_))
        loaded.warnings.push_back(pointer + " has changed, which only a restart applies; the rest is in force");
    co_await names_.resolve(next);
    running_ = std::move(next);
    publish_(assembly_.build(running_, names_));
    co_return outcome{{}, std::move(loaded.warnings)};
}

base::task<> reloader::follow_names() {
    base::tick_timer timer(where_);
    for (;;) {
        timer.expires_after(between_name_look_ups);
        const auto [ec] = co_await timer.async_wait(base::awaited);
        if (ec) co_return;
        if (busy_ || !discovery::has_names(running_)) continue;
        busy_ = true;
        const bool changed = co_await names_.resolve(running_);
        if (changed) publish_(assembly_.build(running_, names_));
        busy_ = false;
        idle_.cancel();
    }
}

} // namespace scoregate::control
