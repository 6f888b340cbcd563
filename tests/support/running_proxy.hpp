// The whole proxy inside a test: cores on threads of their own, listeners on 127.0.0.1 with ports that the system
// picks, snapshots from control::assembly, an access log that the test can read. Owned by the test, on its thread.
#pragma once

#include "config/model.hpp"
#include "control/assembly.hpp"
#include "proxy/core.hpp"
#include "proxy/listener.hpp"
#include "support/certificates.hpp"
#include "support/scripted_replica.hpp"
#include "support/test_client.hpp"
#include "telemetry/access_log.hpp"
#include "telemetry/trace_log.hpp"
#include "tls/certificate_store.hpp"
#include "tls/client_trust.hpp"
#include "tls/ticket_keys.hpp"

#include <nlohmann/json.hpp>

#include <condition_variable>
#include <deque>
#include <future>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace scoregate::tests {

config::deployment deployment_of(std::string name, std::initializer_list<const scripted_replica*> replicas);
// A service open to everyone, over HTTP too, with a deployment "blue" that takes as many requests at once as come.
config::service service_of(std::string name, std::initializer_list<const scripted_replica*> replicas);
config::replica replica_at(std::uint16_t port);

// One hierarchy for all tests, ECDSA P-256, for www.contoso.com.
const hierarchy& shared_identity();
// A store of these alone, in this order.
std::shared_ptr<const tls::certificate_store> store_of(std::initializer_list<const hierarchy*>);

class running_proxy {
public:
    // Which port scores. The other one refuses connections (https), or redirects and refuses requests (http).
    enum class over : std::uint8_t { tls, plain };

    running_proxy(over, config::settings, unsigned cores = 1);
    ~running_proxy(); // stops
    running_proxy(const running_proxy&) = delete;
    running_proxy& operator=(const running_proxy&) = delete;

    std::uint16_t port(proxy::entrance) const;
    std::uint16_t port() const { return port(through_); } // that scores
    // How a client of the scoring port must be.
    client_terms terms() const;

    // Returns once every core serves by the new settings; which port scores stays as it is.
    void reload(config::settings);
    // The same for new certificates, and for the other port.
    void serve(std::shared_ptr<const tls::certificate_store>);
    void ask_for_certificates(std::shared_ptr<const tls::client_trust>);
    void finish_tls();
    void switch_to(over);
    // Lets time pass for the health of replicas, as control::health_prober does (which does not run here).
    void advance(std::chrono::steady_clock::time_point now) const;
    // Readiness off, everything still served.
    void turn_unready();
    // No new connections, idle ones close; returns once all cores have been told.
    void begin_drain();
    void wait_until_drained();
    std::size_t cut();
    // Drains, ends the threads, and says what was left over; empty if nothing was. Waits for clients that are still
    // being served. Only the first call does anything.
    std::string stop();

    proxy::core& core(unsigned index) { return *cores_[index]; }
    // Runs `work` on that core's thread and returns what it returned.
    template <class Work>
    auto on_core(unsigned index, Work work) {
        auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
        auto result = task->get_future();
        cores_[index]->post([task = std::move(task)] { (*task)(); });
        return result.get();
    }

    // The access log's lines, in the order they were written. Waits for the one of that number.
    nlohmann::json record(std::size_t number) const;
    nlohmann::json next_record() { return record(read_records_++); }

    // Requests of a service (empty: of none) that ended so, over all cores.
    std::uint64_t count(const std::string& service, base::fault, unsigned status) const;
    std::uint64_t count() const; // all requests of all services
    std::uint64_t failed_handshakes(telemetry::handshake_failure) const;
    std::uint64_t refused(telemetry::refusal) const;
    std::uint64_t evicted(telemetry::eviction) const;
    proxy::dealing& dealing() { return dealing_; }
    std::uint64_t full_handshakes() const, resumed_handshakes() const;
    std::uint64_t replica_connects(const std::string& service) const;
    std::int64_t in_flight(const std::string& service) const; // scoregate_in_flight
    std::uint64_t mirrored(const std::string& service, telemetry::mirror_result) const;
    std::uint64_t retries(const std::string& service, telemetry::retry_reason) const;
    routing::deployment::state state_of(const std::string& service, const std::string& deployment = "blue") const;
    std::vector<routing::deployment::replica_state> replicas(const std::string& service) const {
        return state_of(service).replicas;
    }
    // Of the services that have keys or take tokens; for the next reload().
    std::map<std::string, std::shared_ptr<const auth::service_keys>> keys;
    std::map<std::string, std::shared_ptr<const auth::token_verifier>> tokens;
    // What https:// replicas have to prove; for the next reload().
    control::trust_map trust;
    // What trusts the certificates of shared_identity() under their name.
    static std::shared_ptr<const tls::replica_trust> shared_trust(const std::string& server_name = "www.contoso.com");
    // The next trace, where settings.tracing is there; there is no exporter. Waits for it.
    std::unique_ptr<const telemetry::trace> next_trace();
    // An ACME challenge whose file is to be read, where settings.acme is there; the test says what is in it.
    struct asked_challenge {
        unsigned core = 0;
        std::uint64_t number = 0;
        std::string token;
    };
    asked_challenge next_challenge(); // waits for it
    void answer(const asked_challenge&, std::optional<std::string> content);
    std::size_t open_connections() const;
    std::uint64_t collected_bytes() const { return held_bodies_->collected.used() + held_bodies_->copied.used(); }

private:
    std::shared_ptr<const routing::snapshot> build();
    std::vector<const telemetry::service_metrics*> metrics_of(const std::string& service) const;
    void apply_settings();
    tls::ssl_ctx_ptr make_context() const;
    void read_log();

    proxy::entrance through_;
    config::settings settings_;
    base::asio::io_context control_;
    control::discovery names_;
    control::assembly assembly_;
    // By service and deployment; of removed ones too.
    std::map<std::pair<std::string, std::string>, std::shared_ptr<telemetry::service_metrics>> metrics_;
    std::shared_ptr<telemetry::service_metrics> unmatched_;
    std::shared_ptr<proxy::held_bodies> held_bodies_ = std::make_shared<proxy::held_bodies>();
    pem_directory folder_;
    std::shared_ptr<const tls::certificate_store> store_;
    std::shared_ptr<const tls::client_trust> clients_;
    tls::own_ticket_keys tickets_{std::chrono::steady_clock::now()};

    int log_end_ = -1;
    mutable std::mutex log_mutex_;
    mutable std::condition_variable log_grew_;
    std::vector<std::string> log_lines_;
    std::size_t read_records_ = 0;
    std::unique_ptr<telemetry::access_log> log_;
    std::thread log_reader_;
    std::unique_ptr<telemetry::trace_log> traces_; // null: tracing is off
    std::mutex challenges_mutex_;
    std::condition_variable challenge_came_;
    std::deque<asked_challenge> challenges_;

    proxy::dealing dealing_;
    std::vector<std::unique_ptr<proxy::core>> cores_;
    std::map<proxy::entrance, std::uint16_t> ports_;
    std::vector<std::unique_ptr<proxy::listener>> listeners_;
    std::vector<std::thread> threads_;
    std::vector<std::unique_ptr<event>> drained_;
    bool draining_ = false, stopped_ = false;
};

} // namespace scoregate::tests
