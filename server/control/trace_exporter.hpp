// Sends the traces that the cores have left in telemetry::trace_log to a collector: OTLP over HTTP with JSON bodies, in
// batches, each on a connection of its own. One batch is under way at a time; while the collector is away or busy it is
// tried again with growing pauses, and what comes meanwhile waits in the log, which is bounded. Control thread; owned
// by the process.
#pragma once

#include "base/buffer.hpp"
#include "base/executor.hpp"
#include "config/collector.hpp"
#include "config/model.hpp"
#include "config/problem.hpp"
#include "control/name_resolver.hpp"
#include "telemetry/log.hpp"
#include "telemetry/otlp.hpp"
#include "telemetry/trace_log.hpp"
#include "tls/replica_trust.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace scoregate::control {

// Where traces go, with what its files hold.
struct trace_destination {
    config::collector to;
    std::string service_name;
    std::string fields;                              // of headers_file, as lines of a head
    std::shared_ptr<const tls::replica_trust> trust; // of https://
    std::vector<config::endpoint> dns_servers{};     // that its name is asked of; empty: the system's
};

// Blocks on the files. What is wrong with them goes to `problems`, and then there is no destination; a secret that all
// may read goes to `warnings`.
std::optional<trace_destination> read_trace_destination(const config::tracing&, const std::string& config_file,
                                                        config::problems& problems, std::vector<std::string>& warnings);

class trace_exporter {
public:
    struct options {
        std::chrono::milliseconds interval{1000};    // from one batch that is not full to the next
        std::chrono::milliseconds timeout{10000};    // of one try, from the connection to the end of the reply
        std::chrono::milliseconds first_pause{1000}; // between tries: doubled each time, and half of it drawn
        std::chrono::milliseconds longest_pause{30000};
        std::chrono::milliseconds longest_retry{60000}; // of one batch; then it is dropped
        std::size_t batch = 128;                        // traces
    };

    // `from` outlives it, and so does the loop.
    trace_exporter(base::executor where, telemetry::trace_log& from, trace_destination to, options);

    // Until finish() or the loop's end. Once.
    base::task<> run();
    // Sends what is there by now, each batch once more at most; returns when that is done, or after `patience`.
    base::task<> finish(std::chrono::milliseconds patience);

private:
    struct answer {
        unsigned status = 0; // 0: none came
        std::chrono::seconds retry_after{0};
        std::string why{}; // none came
    };
    // What frames need that are destroyed with the loop.
    struct equipment {
        base::buffer_pool buffers;
    };

    base::task<> deliver(telemetry::trace_log::traces batch);
    base::task<answer> post(const std::string& body);
    base::task<> rest(std::chrono::milliseconds time);
    void complain(const answer& said);

    base::executor where_;
    telemetry::trace_log& log_;
    trace_destination to_;
    options options_;
    telemetry::trace_source source_;
    name_resolver resolver_;
    std::shared_ptr<equipment> tools_;
    base::tick_timer pause_, ended_; // ended_: cancelled by run()
    std::minstd_rand random_;
    telemetry::rate_limited complaints_{std::chrono::minutes{1}};
    bool running_ = false, stopping_ = false, complained_ = false;
};

} // namespace scoregate::control
