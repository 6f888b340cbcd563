// Keeps what the admin port shows of the past: the history of each service, sampled every 5 s, and the last errors,
// which the cores hand over once a second. Control thread; owned by the process.
#pragma once

#include "base/executor.hpp"
#include "control/assembly.hpp"
#include "telemetry/history.hpp"
#include "telemetry/recent_errors.hpp"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace scoregate::control {

class recorder {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds between_errors{1};
    static constexpr std::size_t samples_of_now = 3; // what counts as now is the last 15 s

    // `of` and `unmatched` outlive it. `gather` makes every core hand its recent errors to add(), soon.
    recorder(base::executor where, const assembly& of, const telemetry::service_metrics& unmatched,
             std::function<void()> gather);

    // Until the loop ends.
    base::task<> run();
    // Ends an interval of the history.
    void look(time_point now);
    void add(const std::vector<telemetry::failed_request>& some) { errors_.add(some); }

    // What GET /history answers, but for the findings: samples after turn `since` only, so that who asks again gets
    // what is new. docs/operations.md lists the members.
    nlohmann::json report(std::uint64_t since) const;

private:
    const assembly& assembly_;
    const telemetry::service_metrics& unmatched_;
    std::function<void()> gather_;
    base::tick_timer pause_;
    telemetry::history history_;
    telemetry::error_list errors_;
};

} // namespace scoregate::control
