#include "control/reloader.hpp"

#include "telemetry/log.hpp"
#include "tls/pem.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds patience{1};    // with an editor that truncates before it writes
constexpr std::chrono::seconds read_limit{10}; // longer than any disk takes: then it is a volume that hangs

struct read_again {
    tls::content_digest content;
    config::load_result loaded;
    trust_material trust;
    std::vector<std::string> ca_files;
};

} // namespace

tls::content_digest digest_of(const config::file_text& read, const std::vector<std::string>& ca_files) {
    tls::content_hash hash;
    hash.add(read.problems.empty() ? "" : read.problems.front().message);
    hash.add(read.text);
    hash.add(read.services.problem);
    for (const auto& each : read.services.files)
        for (const auto& part : {each.path, each.problem, each.text}) hash.add(part);
    for (const auto& each : ca_files) {
        try {
            hash.add(tls::read_pem_file(each).text.view());
        } catch (const tls::unusable_file& why) {
            hash.add(why.what());
        }
    }
    return hash.finish();
}

config::problems wrong_with_acme(const config::settings& next, const std::optional<config::acme>& started) {
    if (next.acme == started || next.allow_insecure_connections) return {};
    auto unnamed = next.acme;
    if (unnamed && started) unnamed->domain = started->domain;
    const std::string what = unnamed == started ? "names another domain, which has been drawn meanwhile"
                                                : "has changed, and with it whose certificates are served";
    return {{next.file, "/acme",
             what + ": restart scoregate, or hand over to a new process, which loses no connection; nothing of the "
                    "file has been applied"}};
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
    keep(next.user, running.user, "/user");
    keep(next.limits.max_connections, running.limits.max_connections, "/limits/max_connections");
    keep(next.access_log, running.access_log, "/access_log");
    keep(next.tracing, running.tracing, "/tracing");
    return changed;
}

reloader::reloader(base::executor where, base::background& files, config::source source, config::settings running,
                   const tls::content_digest& content, trust_map trust, tls_reloader& tls, key_reloader& keys,
                   assembly& build, discovery& names, publish out)
    : where_(where),
      files_(files),
      source_(std::move(source)),
      running_(std::move(running)),
      started_acme_(running_.acme),
      trust_(std::move(trust)),
      ca_files_(ca_files_of(running_.services)),
      tls_(tls),
      keys_(keys),
      assembly_(build),
      names_(names),
      publish_(std::move(out)),
      unit_("configuration", content, patience),
      watch_(where),
      turn_(where) {
    names_.when_changed([this] { publish_again(); });
}

std::shared_ptr<const routing::snapshot> reloader::build() {
    return assembly_.build(
        running_, names_, [this](const std::string& service) { return keys_.of(service); }, trust_);
}

base::task<config::problems> reloader::reload() {
    co_await turn_.take();
    auto problems = co_await reload_now(true);
    turn_.give_back();
    co_return problems;
}

base::task<config::problems> reloader::reload_now(bool insist) {
    auto read = [from = source_, ca_files = ca_files_] {
        const auto text = config::read_text(from, true);
        read_again all{{}, config::load(from, text), {}, ca_files};
        if (all.loaded.value) all.ca_files = ca_files_of(all.loaded.value->services);
        all.content = digest_of(text, all.ca_files); // before they are read: what changes in between is news again
        if (all.loaded.value) all.trust = read_trust(all.loaded.value->services, from.file);
        return all;
    };
    auto found = co_await files_.run(where_, lane_, read_limit, std::move(read));
    if (!found) {
        const std::string what = running_.services_dir ? "or its services_dir cannot be read within 10 s: look at the "
                                                         "volumes that they are on"
                                                       : "cannot be read within 10 s: look at the volume that it is on";
        config::problems hung{{source_.file, "", what + ", and at how busy the CPU is: requests go first"}};
        unit_.refuse({}, hung, true, std::chrono::steady_clock::now());
        co_return hung;
    }
    ca_files_ = std::move(found->ca_files);
    // Somebody may have been quicker.
    if (!insist && !unit_.worth_reading(found->content, std::chrono::steady_clock::now())) co_return config::problems{};
    auto& loaded = found->loaded;
    auto problems = std::move(loaded.problems);
    tls_material material;
    key_material keys;
    if (loaded.value) problems = wrong_with_acme(*loaded.value, started_acme_);
    if (loaded.value && problems.empty()) {
        material = co_await tls_.prepare(*loaded.value);
        auto lasting = *loaded.value; // with what a restart alone changes as it is
        keep_restart_only(lasting, running_);
        keys = co_await keys_.prepare(lasting);
        problems = std::move(material.problems);
        for (const auto* more : {&keys.problems, &found->trust.problems})
            problems.insert(problems.end(), more->begin(), more->end());
    }
    if (!problems.empty()) {
        const bool failed = unit_.refuse(found->content, problems, insist, std::chrono::steady_clock::now());
        if (!failed) problems.clear();
        co_return problems;
    }

    auto next = std::move(*loaded.value);
    for (const auto& pointer : keep_restart_only(next, running_))
        loaded.warnings.push_back(pointer + " has changed, which only a restart applies; the rest is in force");
    co_await names_.learn(next);
    for (const auto& each : loaded.warnings) telemetry::log().warn("reload: {}", each);
    for (const auto& each : keys.warnings) telemetry::log().warn("reload: {}", each);
    for (const auto& each : material.alarms) telemetry::log().error("reload: {}", each);
    if (next.log_level != running_.log_level)
        telemetry::change_log_level(next.log_level, "the configuration has changed");
    running_ = std::move(next);
    names_.keep_only(running_);
    // Contexts before the snapshot that needs them; what a core is posted arrives in order.
    tls_.adopt(std::move(material), running_);
    keys_.adopt(std::move(keys), running_);
    trust_ = keep_unchanged(std::move(found->trust.loaded), trust_);
    publish_(build());
    unit_.accept(found->content);
    telemetry::log().info("reload: the configuration is in force");
    co_return config::problems{};
}

base::task<> reloader::follow_file() {
    const auto path = std::filesystem::absolute(source_.file).string();
    std::error_code ec;
    if (!std::filesystem::is_regular_file(path, ec)) co_return; // a pipe has nothing more to say
    for (;;) {
        co_await turn_.take();
        auto read = [this, path, ca_files = ca_files_] {
            watch_.follow({path});
            watch_.follow(ca_files);
            const auto text = config::read_text(source_, true, services_dir_);
            watch_.follow(text.services.watched());
            return digest_of(text, ca_files);
        };
        const auto seen = co_await files_.run(where_, lane_, read_limit, std::move(read));
        if (seen && unit_.worth_reading(*seen, std::chrono::steady_clock::now()))
            static_cast<void>(co_await reload_now(false));
        turn_.give_back();
        co_await watch_.due();
    }
}

} // namespace scoregate::control
