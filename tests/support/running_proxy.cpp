#include "support/running_proxy.hpp"

#include "app/bind.hpp"
#include "tls/server_context.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace scoregate::tests {

config::replica replica_at(std::uint16_t port) {
    return {"http://127.0.0.1:" + std::to_string(port), "127.0.0.1", port};
}

config::deployment deployment_of(std::string name, std::initializer_list<const scripted_replica*> replicas) {
    config::deployment made;
    made.name = std::move(name);
    for (const auto* each : replicas) made.replicas.push_back(replica_at(each->port()));
    return made;
}

config::service service_of(std::string name, std::initializer_list<const scripted_replica*> replicas) {
    config::service made;
    made.name = std::move(name);
    made.require_tls = false;
    made.auth = config::auth_mode::none;
    auto& blue = made.deployments.emplace_back(deployment_of("blue", replicas));
    blue.traffic = 100;
    blue.settings.max_concurrent_requests.reset();
    return made;
}

const hierarchy& shared_identity() {
    static const hierarchy made = make_hierarchy();
    return made;
}

std::shared_ptr<const tls::certificate_store> store_of(std::initializer_list<const hierarchy*> all) {
    std::vector<std::shared_ptr<const tls::certificate>> certificates;
    for (const auto* each : all) certificates.push_back(each->certificate());
    return std::make_shared<tls::certificate_store>(std::move(certificates), "www.contoso.com");
}

running_proxy::running_proxy(over what, config::settings settings, unsigned cores)
    : through_(what == over::tls ? proxy::entrance::https : proxy::entrance::http),
      settings_(std::move(settings)),
      names_(control_.get_executor()),
      assembly_(cores),
      unmatched_(std::make_shared<telemetry::service_metrics>("", "", cores)) {
    store_ = store_of({&shared_identity()});
    apply_settings();
    const auto first = build();

    // A pipe with a name: the log takes what it could be configured with, and reading it waits for lines.
    const auto path = (folder_.path() / "access.log").string();
    if (::mkfifo(path.c_str(), 0600) != 0) throw wire_error("cannot make " + path);
    log_end_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    auto opened = telemetry::access_log::open({path, cores});
    if (!opened) throw wire_error(opened.error());
    log_ = std::move(*opened);
    ::fcntl(log_end_, F_SETFL, 0);
    log_reader_ = std::thread([this] { read_log(); });

    if (settings_.tracing)
        traces_ = std::make_unique<telemetry::trace_log>(
            telemetry::trace_log::options{cores, telemetry::trace_sampler(settings_.tracing->ratio)});
    dealing_.most_connections = settings_.limits.max_connections;
    for (unsigned i = 0; i < cores; ++i) {
        cores_.push_back(
            std::make_unique<proxy::core>(i, first, make_context(), unmatched_, held_bodies_, &log_->at(i)));
        if (traces_) cores_.back()->traces = &traces_->at(i);
        if (settings_.acme)
            cores_.back()->ask_for_challenge = [this](unsigned core, std::uint64_t number, std::string token) {
                const std::lock_guard held(challenges_mutex_);
                challenges_.push_back({core, number, std::move(token)});
                challenge_came_.notify_all();
            };
        dealing_.cores.push_back(cores_.back().get());
    }
    for (const auto through : {proxy::entrance::https, proxy::entrance::http}) {
        const auto bound = app::listen_on({"127.0.0.1", 0});
        if (!bound) throw wire_error(bound.error().sentence);
        ports_[through] = static_cast<std::uint16_t>(std::stoul(bound->address.substr(bound->address.rfind(':') + 1)));
        listeners_.push_back(std::make_unique<proxy::listener>(*cores_.front(), dealing_, bound->descriptor, through));
    }
    if (what == over::plain) listeners_.front()->pause();
    for (auto& each : cores_) threads_.emplace_back([&core = *each] { core.run(); });
    on_core(0, [this] {
        for (auto& each : listeners_) each->start();
    });
}

running_proxy::~running_proxy() { stop(); }

running_proxy::asked_challenge running_proxy::next_challenge() {
    std::unique_lock held(challenges_mutex_);
    if (!challenge_came_.wait_for(held, patience, [this] { return !challenges_.empty(); }))
        throw wire_error("no challenge was asked for");
    auto first = std::move(challenges_.front());
    challenges_.pop_front();
    return first;
}

void running_proxy::answer(const asked_challenge& asked, std::optional<std::string> content) {
    cores_[asked.core]->post(
        [&core = *cores_[asked.core], number = asked.number, content = std::move(content)]() mutable {
            core.answer_challenge(number, std::move(content));
        });
}

std::uint16_t running_proxy::port(proxy::entrance through) const { return ports_.at(through); }

client_terms running_proxy::terms() const {
    client_terms made;
    made.tls = through_ == proxy::entrance::https;
    made.trusted = shared_identity().root_pem();
    return made;
}

std::shared_ptr<const routing::snapshot> running_proxy::build() {
    const auto credentials_of = [this](const std::string& service) {
        return auth::credentials{keys[service], tokens[service]};
    };
    const auto built = assembly_.build(settings_, names_, credentials_of, trust);
    for (auto& each : assembly_.counts())
        metrics_[{each.metrics->service(), each.metrics->deployment()}] = each.metrics;
    return built;
}

std::vector<const telemetry::service_metrics*> running_proxy::metrics_of(const std::string& service) const {
    if (service.empty()) return {unmatched_.get()};
    std::vector<const telemetry::service_metrics*> found;
    for (const auto& [name, each] : metrics_)
        if (name.first == service) found.push_back(each.get());
    return found;
}

void running_proxy::apply_settings() {
    settings_.allow_insecure_connections = through_ == proxy::entrance::http;
    settings_.certificates.clear();
    if (through_ == proxy::entrance::https) settings_.certificates = {{"", "", "www.contoso.com"}};
}

tls::ssl_ctx_ptr running_proxy::make_context() const {
    if (through_ == proxy::entrance::http) return {};
    return tls::make_server_context(store_, tickets_.current(), clients_);
}

void running_proxy::serve(std::shared_ptr<const tls::certificate_store> next) {
    store_ = std::move(next);
    for (unsigned i = 0; i < cores_.size(); ++i) on_core(i, [&] { cores_[i]->adopt(make_context()); });
}

void running_proxy::ask_for_certificates(std::shared_ptr<const tls::client_trust> next) {
    clients_ = std::move(next);
    serve(store_);
}

void running_proxy::finish_tls() {
    for (unsigned i = 0; i < cores_.size(); ++i) on_core(i, [&] { cores_[i]->finish_tls(); });
}

void running_proxy::switch_to(over what) {
    through_ = what == over::tls ? proxy::entrance::https : proxy::entrance::http;
    serve(store_);
    reload(settings_);
    on_core(0, [&] {
        if (what == over::tls)
            listeners_.front()->resume();
        else
            listeners_.front()->pause();
    });
}

void running_proxy::reload(config::settings next) {
    settings_ = std::move(next);
    apply_settings();
    const auto built = build();
    for (unsigned i = 0; i < cores_.size(); ++i) on_core(i, [this, i, built] { cores_[i]->adopt(built); });
}

void running_proxy::advance(std::chrono::steady_clock::time_point now) const {
    for (const auto& each : assembly_.deployments()) each.replicas->advance(now);
}

void running_proxy::turn_unready() {
    for (unsigned i = 0; i < cores_.size(); ++i) on_core(i, [this, i] { cores_[i]->turn_unready(); });
}

void running_proxy::begin_drain() {
    if (std::exchange(draining_, true)) return;
    turn_unready();
    on_core(0, [this] {
        for (auto& each : listeners_) each->stop();
    });
    for (unsigned i = 0; i < cores_.size(); ++i) {
        auto& done = *drained_.emplace_back(std::make_unique<event>());
        on_core(i, [this, i, &done] { cores_[i]->drain([&done] { done.set(); }); });
    }
}

void running_proxy::wait_until_drained() {
    for (auto& each : drained_) each->wait();
}

std::size_t running_proxy::cut() {
    std::size_t all = 0;
    for (unsigned i = 0; i < cores_.size(); ++i) all += on_core(i, [this, i] { return cores_[i]->cut(); });
    return all;
}

std::string running_proxy::stop() {
    if (std::exchange(stopped_, true)) return {};
    std::string left;
    const auto note = [&left](const std::string& what, auto count) {
        if (count != 0) left += what + ": " + std::to_string(count) + "; ";
    };
    begin_drain();
    try {
        wait_until_drained();
    } catch (const wire_error&) {
        note("connections that a drain did not end", open_connections());
        cut();
        wait_until_drained();
    }
    // What no client waits for goes on through a drain, but the replicas of a test end it.
    for (unsigned i = 0; i < cores_.size(); ++i) {
        event ended;
        on_core(i, [&] { cores_[i]->unattended.when_empty([&ended] { ended.set(); }); });
        try {
            ended.wait();
        } catch (const wire_error&) {
            note("unattended requests", on_core(i, [&] { return cores_[i]->unattended.inside(); }));
        }
        on_core(i, [&] { cores_[i]->unattended.when_empty([] {}); });
    }
    for (unsigned i = 0; i < cores_.size(); ++i) {
        auto& core = *cores_[i];
        on_core(i, [&] {
            note("coroutines of clients", core.gate.inside());
            note("listeners", core.accepting.inside());
            note("copies of mirrored traffic", core.copies);
            core.pool.clear(); // of idle connections, which may have buffers for a while
            note("buffers", core.buffers.lent());
        });
        note("connections counted when dealt", core.open_connections());
        note("connections in the metric", core.metrics.connections.value());
    }
    for (const auto& service : settings_.services)
        for (const auto& deployment : service.deployments) {
            const auto state = assembly_.state_of(service.name, deployment.name);
            for (const auto& each : state.replicas) note("requests in flight at " + each.url, each.in_flight);
            note("requests in the queue of " + deployment.name, state.queued);
        }
    for (auto& [name, each] : metrics_) {
        std::int64_t in_flight = 0; // counted on the core of the request, for the service first
        for (const auto& core : each->cores()) in_flight += core.in_flight.value();
        note("scoregate_in_flight of " + name.first + " " + name.second, in_flight);
    }
    note("bytes of collected bodies", held_bodies_->collected.used() + held_bodies_->copied.used());

    for (auto& core : cores_) core->stop();
    for (auto& thread : threads_) thread.join();
    listeners_.clear();
    cores_.clear();
    log_->stop();
    const auto lost = log_->dropped();
    log_.reset();
    log_reader_.join();
    ::close(log_end_);
    if (log_lines_.size() + lost != count())
        left += std::to_string(log_lines_.size()) + " lines in the access log for " + std::to_string(count()) +
                " requests counted; ";
    return left;
}

void running_proxy::read_log() {
    std::string text;
    char block[65536];
    for (;;) {
        const auto n = ::read(log_end_, block, sizeof block);
        if (n <= 0) return; // the writer has closed
        text.append(block, static_cast<std::size_t>(n));
        const std::lock_guard lock(log_mutex_);
        for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
            log_lines_.push_back(text.substr(0, end));
        log_grew_.notify_all();
    }
}

std::unique_ptr<const telemetry::trace> running_proxy::next_trace() {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        for (unsigned i = 0; i < cores_.size(); ++i) on_core(i, [&] { cores_[i]->traces->flush(); });
        auto taken = traces_->take(1);
        if (!taken.empty()) return std::move(taken.front());
        if (std::chrono::steady_clock::now() > end) throw wire_error("no trace");
        std::this_thread::yield();
    }
}

nlohmann::json running_proxy::record(std::size_t number) const {
    std::unique_lock lock(log_mutex_);
    if (!log_grew_.wait_for(lock, patience, [&] { return log_lines_.size() > number; }))
        throw wire_error("no such line in the access log");
    return nlohmann::json::parse(log_lines_[number]);
}

std::uint64_t running_proxy::count(const std::string& service, base::fault kind, unsigned status) const {
    std::uint64_t total = 0;
    for (const auto* each : metrics_of(service))
        for (const auto& core : each->cores())
            core.requests.for_each([&](base::fault fault, std::uint16_t of, std::uint64_t n) {
                if (fault == kind && of == status) total += n;
            });
    return total;
}

std::uint64_t running_proxy::count() const {
    std::uint64_t total = 0;
    const auto add = [&total](const telemetry::service_metrics& one) {
        for (const auto& core : one.cores())
            core.requests.for_each([&](base::fault, std::uint16_t, std::uint64_t n) { total += n; });
    };
    add(*unmatched_);
    for (const auto& [name, each] : metrics_) add(*each);
    return total;
}

std::uint64_t running_proxy::failed_handshakes(telemetry::handshake_failure why) const {
    std::uint64_t total = 0;
    for (const auto& each : cores_) total += each->metrics.handshake_failures[static_cast<std::size_t>(why)].value();
    return total;
}

std::uint64_t running_proxy::refused(telemetry::refusal why) const {
    std::uint64_t total = 0;
    for (const auto& each : cores_) total += each->metrics.refused[static_cast<std::size_t>(why)].value();
    return total;
}

std::uint64_t running_proxy::evicted(telemetry::eviction why) const {
    std::uint64_t total = 0;
    for (const auto& each : cores_) total += each->metrics.evicted[static_cast<std::size_t>(why)].value();
    return total;
}

std::uint64_t running_proxy::full_handshakes() const {
    std::uint64_t total = 0;
    for (const auto& each : cores_) total += each->metrics.handshakes_full.value();
    return total;
}

std::uint64_t running_proxy::resumed_handshakes() const {
    std::uint64_t total = 0;
    for (const auto& each : cores_) total += each->metrics.handshakes_resumed.value();
    return total;
}

std::uint64_t running_proxy::replica_connects(const std::string& service) const {
    std::uint64_t total = 0;
    for (const auto* each : metrics_of(service))
        for (const auto& core : each->cores()) total += core.replica_connects.value();
    return total;
}

std::uint64_t running_proxy::mirrored(const std::string& service, telemetry::mirror_result what) const {
    std::uint64_t total = 0;
    for (const auto* each : metrics_of(service))
        for (const auto& core : each->cores()) total += core.mirrored[static_cast<std::size_t>(what)].value();
    return total;
}

std::uint64_t running_proxy::retries(const std::string& service, telemetry::retry_reason why) const {
    std::uint64_t total = 0;
    for (const auto* each : metrics_of(service))
        for (const auto& core : each->cores()) total += core.retries[static_cast<std::size_t>(why)].value();
    return total;
}

std::shared_ptr<const tls::replica_trust> running_proxy::shared_trust(const std::string& server_name) {
    const pem_directory folder;
    return std::make_shared<tls::replica_trust>(folder.write("ca.pem", shared_identity().root_pem()), server_name);
}

std::int64_t running_proxy::in_flight(const std::string& service) const {
    std::int64_t total = 0;
    for (const auto* each : metrics_of(service))
        for (const auto& core : each->cores()) total += core.in_flight.value();
    return total;
}

routing::deployment::state running_proxy::state_of(const std::string& service, const std::string& deployment) const {
    return assembly_.state_of(service, deployment);
}

std::size_t running_proxy::open_connections() const {
    std::size_t total = 0;
    for (const auto& each : cores_) total += each->open_connections();
    return total;
}

} // namespace scoregate::tests
