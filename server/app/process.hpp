// The process: builds everything in order, runs one thread per core and control on the main thread, and ends it in the
// reverse order. Owned by main.
#pragma once

#include "app/account.hpp"
#include "app/acme_orders.hpp"
#include "app/bind.hpp"
#include "app/challenge_files.hpp"
#include "app/found_sockets.hpp"
#include "app/handover_port.hpp"
#include "app/machine.hpp"
#include "app/memory_watch.hpp"
#include "base/background.hpp"
#include "config/load.hpp"
#include "control/admin_server.hpp"
#include "control/assembly.hpp"
#include "control/discovery.hpp"
#include "control/health_prober.hpp"
#include "control/recorder.hpp"
#include "control/reloader.hpp"
#include "control/tls_reloader.hpp"
#include "control/trace_exporter.hpp"
#include "control/turn.hpp"
#include "proxy/core.hpp"
#include "proxy/listener.hpp"
#include "telemetry/access_log.hpp"
#include "telemetry/process_usage.hpp"
#include "telemetry/trace_log.hpp"
#include "tls/content_digest.hpp"
#include "tls/openssl_ptr.hpp"

#include <boost/asio/signal_set.hpp>
#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace scoregate::app {

// Exit codes of the command line.
enum exit_code : int { clean = 0, failed = 1, refused = 2 };

// A configuration with the certificates it names, as far as all could be checked.
struct checked {
    std::optional<config::settings> settings; // empty with any problem
    tls::content_digest content{};            // of the configuration's file
    std::optional<app::account> account;      // that `user` names
    control::tls_material tls;
    control::key_material keys;
    control::trust_map trust;
    std::optional<control::trace_destination> traces; // empty where tracing is off
    config::problems problems;                        // those of what the settings name too
    std::vector<std::string> warnings;
};

// Everything that can be checked without opening a socket. Blocking file reads.
checked check(const config::source&);

// How a process begins and ends its part in a row of processes that follow each other.
struct succession {
    std::optional<std::string> takeover; // Unix socket: who listens there hands over, and this process listens next
    std::vector<found_socket> passed;    // by what started it
};

class process {
public:
    // `found` has settings.
    process(config::source source, checked found, succession before);
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process();

    // Until SIGTERM or SIGINT has drained it; then no core is left and the access log is written out. The destructor
    // besides waits for a read of a file that may still be under way. Logs to stderr.
    exit_code run();

private:
    enum class stage : std::uint8_t { starting, serving, grace, draining, ended };

    void end();
    bool open_sockets();
    bool meet_predecessor();
    bool would_close_https();
    std::optional<listening> open(const request_to_listen&, std::optional<std::size_t> found);
    bool account_for_found();
    void limit_connections();
    bool give_up_rights();
    void serves();
    offer offer_sockets() const;
    void hand_over(pid_t successor, const std::vector<std::size_t>& taken);
    bool open_access_log();
    base::task<> start();
    bool listen();
    void announce() const;
    base::task<> follow_signals();
    base::task<config::problems> reload();
    base::task<> reach_cores();
    base::task<> reload_for_signal();
    void ask_to_drain();
    base::task<> drain();
    base::task<> drain_for_successor();
    base::task<> end_requests();
    void stop_accepting();
    void core_emptied(unsigned index);
    base::task<> send_last_traces();
    void cut();
    void publish(std::shared_ptr<const routing::snapshot>);
    void publish(std::vector<tls::ssl_ctx_ptr>, control::open_connections);
    void open_scoring_port();
    void settle_scoring_port();
    void reassert_listeners();
    // Without TLS, and without a certificate to show.
    bool https_is_closed() const { return insecure_ || tls_.awaits_issue(); }

    // A certificate from a provider (process_acme.cpp).
    std::optional<std::string> start_acme_runner();
    void order_certificates();
    std::shared_ptr<const tls::certificate> issued_certificate() const;
    void find_challenges();
    void find_challenge(asked_challenge);

    // When something runs short (process_overload.cpp).
    base::task<> watch_resources();
    std::optional<std::uint64_t> most_memory() const;
    void tell_most_memory() const;
    void watch_memory(std::chrono::steady_clock::time_point now);
    void watch_descriptors();

    // What the admin port shows (process_reports.cpp).
    control::admin_operations operations();
    bool is_ready() const;
    std::string unready_because() const;
    std::string metrics_text() const;
    nlohmann::json status() const;
    std::string status_text() const;
    std::string history_text(std::uint64_t since) const;
    void gather_errors();
    std::vector<std::string> scoring_uris() const;
    std::vector<const control::reload_unit*> reload_units() const;

    base::executor where() { return loop_.get_executor(); }

    config::source source_;
    config::settings settings_; // as started
    std::optional<account> account_;
    std::chrono::system_clock::time_point started_at_;
    unsigned core_count_;
    base::asio::io_context loop_{1};
    boost::asio::basic_signal_set<base::executor> signals_;
    base::gate tasks_;
    control::assembly assembly_;
    control::health_prober prober_;
    control::discovery names_;
    control::tls_reloader tls_;
    control::key_reloader keys_;
    control::reloader reloader_;
    base::background files_; // ends first: its work touches the three above
    control::turn reloading_;
    std::uint64_t reloads_asked_ = 0, reloads_done_ = 0;
    config::problems reload_problems_; // of the last one
    std::unique_ptr<telemetry::access_log> access_log_;
    std::shared_ptr<telemetry::service_metrics> unmatched_;
    control::recorder recorder_;
    std::shared_ptr<proxy::held_bodies> held_bodies_;
    std::unique_ptr<acme_runner> acme_runner_;            // until there are orders
    std::unique_ptr<acme_orders> acme_orders_;            // null: certificates of one's own
    std::unique_ptr<challenge_files> challenges_;         // null: the same
    std::optional<control::trace_destination> traces_to_; // until there is an exporter
    std::unique_ptr<telemetry::trace_log> traces_;        // null: off
    std::unique_ptr<control::trace_exporter> exporter_;
    std::vector<tls::ssl_ctx_ptr> first_contexts_; // until the cores are made
    proxy::dealing dealing_;
    std::vector<std::unique_ptr<proxy::core>> cores_; // whose connections have places in dealing_
    struct entry {
        proxy::entrance through;
        listening socket;
    };
    std::vector<entry> entries_;
    std::vector<std::unique_ptr<proxy::listener>> listeners_; // of entries_, on the first core
    bool insecure_ = false;                                   // which port scores
    bool awaiting_ = false;                                   // a certificate, as the listeners have been told
    std::optional<listening> admin_socket_;
    succession before_;
    std::optional<predecessor> predecessor_; // until it has been told that this process serves
    std::vector<found_socket> found_;        // the predecessor's first, in its order
    std::vector<std::size_t> taken_;         // of the predecessor's
    std::optional<handover_port> successors_;
    std::vector<bool> handed_over_; // by the place in entries_: the successor accepts there
    bool followed_ = false;         // by a successor that serves
    std::unique_ptr<control::admin_server> admin_;
    std::vector<std::thread> threads_;                   // of cores_
    std::vector<telemetry::thread_clock> thread_clocks_; // of threads_
    int most_replica_descriptors_ = 0;
    std::optional<memory_limit> cgroup_memory_;
    memory_watch memory_;
    std::chrono::steady_clock::time_point reminded_at_{}, trimmed_at_{};
    std::uint64_t refused_for_descriptors_ = 0;
    bool short_of_descriptors_ = false;
    base::tick_timer drain_timer_;
    stage stage_ = stage::starting;
    std::set<unsigned> cores_emptied_; // their indices
    bool was_cut_ = false, told_to_end_ = false, start_failed_ = false;
};

} // namespace scoregate::app
