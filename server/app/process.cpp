#include "app/process.hpp"

#include "app/confinement.hpp"
#include "app/machine.hpp"
#include "config/forms.hpp"
#include "telemetry/log.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

// How long cut connections may take to leave.
constexpr std::chrono::seconds patience_after_cut{2};

// How long the last traces may take, when all has been answered and when it was cut.
constexpr std::chrono::milliseconds patience_for_traces{3000}, patience_for_traces_after_cut{500};

} // namespace

process::process(config::source source, checked found, succession before)
    : source_(std::move(source)),
      settings_(std::move(*found.settings)),
      account_(std::move(found.account)),
      started_at_(std::chrono::system_clock::now()),
      core_count_(settings_.workers != 0 ? settings_.workers : usable_cores()),
      signals_(where()),
      assembly_(core_count_),
      prober_(where(), assembly_),
      names_(where()),
      tls_(where(), files_, core_count_,
           [this](auto contexts, auto connections) { publish(std::move(contexts), connections); }),
      keys_(where(), files_, [this] { reloader_.publish_again(); }),
      reloader_(where(), files_, source_, settings_, found.content, std::move(found.trust), tls_, keys_, assembly_,
                names_, [this](std::shared_ptr<const routing::snapshot> next) { publish(std::move(next)); }),
      reloading_(where()),
      unmatched_(std::make_shared<telemetry::service_metrics>("", "", core_count_)),
      recorder_(where(), assembly_, *unmatched_, [this] { gather_errors(); }),
      held_bodies_(std::make_shared<proxy::held_bodies>()),
      traces_to_(std::move(found.traces)),
      insecure_(settings_.allow_insecure_connections),
      before_(std::move(before)),
      cgroup_memory_(memory_of_cgroups()),
      drain_timer_(where()) {
    tls_.adopt(std::move(found.tls), settings_);
    keys_.adopt(std::move(found.keys), settings_);
}

process::~process() { end(); }

void process::end() {
    for (auto& core : cores_) core->stop();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    // Listeners live on the first core's loop, the access log's channels are used by the cores.
    listeners_.clear();
    cores_.clear();
    if (access_log_) access_log_->stop();
    if (successors_) successors_->close();
}

exit_code process::run() {
    std::signal(SIGPIPE, SIG_IGN); // a closed stdout is an error of a write, not the end
    if (!open_access_log() || !meet_predecessor() || !open_sockets() || !give_up_rights()) {
        end();
        return failed;
    }
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) signals_.add(number);
    base::spawn(where(), tasks_, follow_signals());
    base::spawn(where(), tasks_, start());
    loop_.run();
    end();
    // A supervisor that restarts what has failed must let be who was followed: started again it would take over.
    return start_failed_ || (was_cut_ && !followed_) ? failed : clean;
}

bool process::open_access_log() {
    if (!settings_.access_log.path) return true;
    // As who it will be: root would follow a link that an intruder has left there with that user's rights, and would
    // make a file that cannot be opened again.
    std::optional<acting_as> other;
    if (account_ && ::geteuid() == 0) other.emplace(*account_);
    if (other && !*other) {
        telemetry::log().error("cannot open the access log as user {}: in a container it needs the capabilities "
                               "SETUID and SETGID",
                               account_->name);
        return false;
    }
    const auto& wanted = settings_.access_log;
    auto opened = telemetry::access_log::open({.path = *wanted.path,
                                               .cores = core_count_,
                                               .format = wanted.format,
                                               .sample_successes = wanted.sample_successes,
                                               .slow = wanted.slow,
                                               .facility = wanted.facility});
    if (!opened) {
        telemetry::log().error("{}{}", opened.error(),
                               account_ && !config::is_syslog(*wanted.path)
                                   ? "; it, or the folder it is made in, has to be that of user " + account_->name
                                   : "");
        return false;
    }
    access_log_ = std::move(*opened);
    return true;
}

// Before a byte of a client, or of anybody else but who started it, is read. What comes later can do without.
bool process::give_up_rights() {
    std::optional<std::string> wrong;
    if (account_) {
        wrong = become(*account_);
        keep_out_of_core_dumps();
    }
    if (!wrong && settings_.acme) wrong = start_acme_runner(); // a confined process starts none
    if (!wrong) wrong = confine();
    if (wrong) telemetry::log().error("{}", *wrong);
    return !wrong;
}

// The first answers of DNS are awaited before anything is served; the admin port tells so meanwhile, unless a
// predecessor still answers there.
base::task<> process::start() {
    if (admin_socket_) {
        admin_ = std::make_unique<control::admin_server>(where(), admin_socket_->descriptor, settings_.admin.hosts,
                                                         operations());
        if (!predecessor_) admin_->start();
    }
    co_await names_.learn(settings_);
    if (!listen()) {
        loop_.stop();
        co_return;
    }
    assembly_.assume_ready(predecessor_.has_value());
    const auto first = reloader_.build();
    assembly_.assume_ready(false);
    if (traces_to_ && settings_.tracing) {
        traces_to_->dns_servers = settings_.dns.servers;
        traces_ = std::make_unique<telemetry::trace_log>(
            telemetry::trace_log::options{core_count_, telemetry::trace_sampler(settings_.tracing->ratio)});
        exporter_ = std::make_unique<control::trace_exporter>(where(), *traces_, std::move(*traces_to_),
                                                              control::trace_exporter::options{});
        traces_to_.reset();
        base::spawn(where(), tasks_, exporter_->run());
    }
    if (settings_.acme) find_challenges();
    first_contexts_.resize(core_count_); // without TLS nothing was published
    for (unsigned i = 0; i < core_count_; ++i) {
        auto* const channel = access_log_ ? &access_log_->at(i) : nullptr;
        cores_.push_back(
            std::make_unique<proxy::core>(i, first, std::move(first_contexts_[i]), unmatched_, held_bodies_, channel));
        cores_.back()->most_replica_descriptors = most_replica_descriptors_;
        if (traces_) cores_.back()->traces = &traces_->at(i);
        if (settings_.acme)
            cores_.back()->ask_for_challenge = [this](unsigned core, std::uint64_t number, std::string token) {
                find_challenge({core, number, std::move(token)});
            };
        dealing_.cores.push_back(cores_.back().get());
    }
    for (const auto& each : entries_) {
        listeners_.push_back(
            std::make_unique<proxy::listener>(*cores_.front(), dealing_, each.socket.descriptor, each.through));
        if (!https_is_closed() || each.through != proxy::entrance::https) continue;
        if (predecessor_)
            listeners_.back()->hold(); // it goes on there if this process does not come to serve
        else
            listeners_.back()->pause();
    }
    for (auto& core : cores_) threads_.emplace_back([&core = *core] { core.run(); });
    for (auto& each : threads_) thread_clocks_.emplace_back(each);
    cores_.front()->post([this] {
        for (auto& each : listeners_) each->start();
        base::asio::post(where(), [this] { serves(); });
    });
    if (stage_ == stage::starting) stage_ = stage::serving;
    if (admin_ && predecessor_) admin_->start();
    base::spawn(where(), tasks_, prober_.run());
    base::spawn(where(), tasks_, watch_resources());
    base::spawn(where(), tasks_, recorder_.run());
    base::spawn(where(), tasks_, reloader_.follow_file());
    base::spawn(where(), tasks_, tls_.follow());
    base::spawn(where(), tasks_, keys_.follow());
}

// Where TLS was off before, the socket of the https port does not listen.
bool process::listen() {
    for (const auto& each : entries_) {
        if ((https_is_closed() && each.through == proxy::entrance::https) || listen_again(each.socket.descriptor))
            continue;
        telemetry::log().error("cannot listen on {}: {}; look what else uses the address (ss -ltnp), or name another",
                               each.socket.address, std::strerror(errno));
        start_failed_ = true;
    }
    return !start_failed_;
}

void process::announce() const {
    if (insecure_)
        telemetry::log().warn(
            "allowInsecureConnections: requests and replies cross the network in clear, keys too; for "
            "development only");
    if (tls_.awaits_issue())
        telemetry::log().warn("HTTPS stays closed, and scoregate not ready, until a certificate has been issued");
    for (const auto& each : entries_) {
        const bool https = each.through == proxy::entrance::https;
        if (!(https && https_is_closed()))
            telemetry::log().info("listening {} {}", https ? "https" : "http", each.socket.address);
    }
    if (admin_socket_) telemetry::log().info("listening admin {}", admin_socket_->address);
    for (const auto& uri : scoring_uris()) telemetry::log().info("scoring URI {}", uri);
    telemetry::log().info("scoregate {} serves with {} worker{}", SCOREGATE_VERSION, core_count_,
                          core_count_ == 1 ? "" : "s");
}

void process::publish(std::shared_ptr<const routing::snapshot> next) {
    const bool insecure = next->settings().allow_insecure_connections;
    for (auto& core : cores_) core->post([&core = *core, next] { core.adopt(next); });
    if (std::exchange(insecure_, insecure) != insecure) open_scoring_port();
}

void process::publish(std::vector<tls::ssl_ctx_ptr> contexts, control::open_connections connections) {
    if (cores_.empty()) {
        first_contexts_ = std::move(contexts);
        awaiting_ = tls_.awaits_issue();
        return;
    }
    for (std::size_t i = 0; i < cores_.size(); ++i)
        cores_[i]->post([&core = *cores_[i], context = std::move(contexts[i]), connections]() mutable {
            core.adopt(std::move(context));
            if (connections == control::open_connections::finish) core.finish_tls();
        });
    if (const bool awaits = tls_.awaits_issue(); std::exchange(awaiting_, awaits) != awaits) open_scoring_port();
}

// The port that does not score any more refuses connections; the cores have been told by then what the other one is.
void process::open_scoring_port() {
    if (cores_.empty() || stage_ > stage::grace) return; // start() will; or none is open any more
    if (predecessor_) return;                            // serves() will
    settle_scoring_port();
    announce();
}

void process::settle_scoring_port() {
    cores_.front()->post([this, closed = https_is_closed()] {
        for (std::size_t i = 0; i < listeners_.size(); ++i) {
            if (entries_[i].through != proxy::entrance::https) continue;
            if (closed)
                listeners_[i]->pause();
            else
                listeners_[i]->resume();
        }
    });
}

// A successor that has not come to serve may have had another mind about TLS.
void process::reassert_listeners() {
    cores_.front()->post([this] {
        for (auto& each : listeners_) each->reassert();
    });
}

base::task<> process::follow_signals() {
    for (;;) {
        const auto [ec, number] = co_await signals_.async_wait(base::awaited);
        if (ec) co_return;
        if (number == SIGHUP)
            base::spawn(where(), tasks_, reload_for_signal());
        else if (number == SIGUSR1) {
            if (access_log_) access_log_->reopen();
        } else if (stage_ == stage::starting || stage_ == stage::serving) {
            if (cores_.empty()) {
                loop_.stop();
                co_return;
            }
            told_to_end_ = true;
            base::spawn(where(), tasks_, drain());
        } else if (!std::exchange(told_to_end_, true)) {
            telemetry::log().info("draining already");
        } else {
            telemetry::log().warn("a second signal: ending now");
            cut();
        }
    }
}

// However many ask while one is under way, they get the next one together.
base::task<config::problems> process::reload() {
    const auto mine = ++reloads_asked_;
    co_await reloading_.take();
    if (reloads_done_ < mine) {
        reloads_done_ = reloads_asked_;
        co_await keys_.reload();
        co_await tls_.reload(); // first, so that a configuration that waits for DNS holds up no certificate
        reload_problems_ = co_await reloader_.reload();
        for (const auto& some : {tls_.problems(), keys_.problems()})
            reload_problems_.insert(reload_problems_.end(), some.begin(), some.end());
        co_await reach_cores();
    }
    auto problems = reload_problems_;
    reloading_.give_back();
    co_return problems;
}

// Until every core has done what was posted to it by now.
base::task<> process::reach_cores() {
    auto left = cores_.size();
    base::tick_timer all(where(), base::tick_timer::time_point::max());
    for (auto& core : cores_)
        core->post([this, &left, &all] {
            base::asio::post(where(), [&left, &all] {
                if (--left == 0) all.cancel();
            });
        });
    if (left != 0) co_await all.async_wait(base::awaited);
}

base::task<> process::reload_for_signal() { static_cast<void>(co_await reload()); }

// By who may say so more than once, and after whom a first signal is still to come: neither ends it now.
void process::ask_to_drain() {
    if (stage_ == stage::starting)
        loop_.stop();
    else if (stage_ == stage::serving)
        base::spawn(where(), tasks_, drain());
}

// Readiness off, a grace in which everything is still served, no new connections, requests in flight finish, cut.
base::task<> process::drain() {
    const auto& limits = reloader_.running().timeouts;
    telemetry::log().info("draining: readiness is off, requests in flight have {} ms", limits.drain.count());
    stage_ = stage::grace;
    for (auto& core : cores_) core->post([&core = *core] { core.turn_unready(); });
    if (limits.drain_grace.count() != 0) {
        drain_timer_.expires_after(limits.drain_grace);
        co_await drain_timer_.async_wait(base::awaited);
    }
    if (stage_ != stage::grace) co_return; // a second signal came, or a successor
    co_await end_requests();
}

base::task<> process::end_requests() {
    stop_accepting();
    drain_timer_.expires_after(reloader_.running().timeouts.drain);
    const auto [cancelled] = co_await drain_timer_.async_wait(base::awaited);
    if (!cancelled) {
        telemetry::log().warn("draining: time is up, what is still in flight is cut");
        cut();
    }
}

void process::stop_accepting() {
    stage_ = stage::draining;
    if (successors_) successors_->close();
    handed_over_.resize(entries_.size());
    // The other cores are told once the listeners have stopped, so that what was dealt to them arrives first.
    cores_.front()->post([this] {
        for (std::size_t i = 0; i < listeners_.size(); ++i) {
            if (handed_over_[i])
                listeners_[i]->leave();
            else
                listeners_[i]->stop();
        }
        for (auto& core : cores_)
            core->post([this, &core = *core] {
                core.drain([this, index = core.index(), traces = core.traces] {
                    if (traces != nullptr) traces->flush();
                    base::asio::post(where(), [this, index] { core_emptied(index); });
                });
            });
    });
}

void process::core_emptied(unsigned index) {
    // A core reports each time that it becomes empty: twice, if the last that was dealt to it came after the first.
    cores_emptied_.insert(index);
    if (stage_ == stage::ended || cores_emptied_.size() < cores_.size()) return;
    telemetry::log().info(was_cut_ ? "ended" : "drained: every request has been answered");
    stage_ = stage::ended;
    drain_timer_.cancel();
    if (exporter_)
        base::spawn(where(), tasks_, send_last_traces());
    else
        loop_.stop();
}

base::task<> process::send_last_traces() {
    const auto before = traces_->dropped();
    co_await exporter_->finish(was_cut_ ? patience_for_traces_after_cut : patience_for_traces);
    if (const auto lost = traces_->dropped() - before + traces_->waiting(); lost != 0)
        telemetry::log().warn("traces: {} were not sent before the end: the collector did not take them in time", lost);
    loop_.stop();
}

// Ends every connection now. Those that were busy are lost, and the exit code says so.
void process::cut() {
    if (stage_ == stage::ended) return loop_.stop(); // traces alone are left
    if (was_cut_) return;
    was_cut_ = true;
    if (stage_ == stage::grace) stop_accepting();
    for (auto& core : cores_)
        core->post([&core = *core] {
            if (const auto lost = core.cut()) telemetry::log().warn("cut {} connections", lost);
        });
    drain_timer_.expires_after(patience_after_cut);
    drain_timer_.async_wait([this](base::error_code ec) {
        if (!ec) loop_.stop();
    });
}

} // namespace scoregate::app
