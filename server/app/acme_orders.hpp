// When a running scoregate has its certificate issued and renewed, and how that went. One order at a time, none while
// TLS is off. Control thread; owned by app::process.
#pragma once

#include "app/acme_runner.hpp"
#include "app/acme_schedule.hpp"
#include "base/executor.hpp"
#include "tls/certificate.hpp"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>

namespace scoregate::app {

class acme_orders {
public:
    struct surroundings {
        std::function<bool()> wanted;                                      // TLS is on, and this process serves
        std::function<std::shared_ptr<const tls::certificate>()> in_force; // null: none yet
        std::function<base::task<>()> look;                                // at what is in place, to have it in force
    };
    // `from` is what is ordered for as long as this runs.
    acme_orders(base::executor where, std::unique_ptr<acme_runner> runner, config::acme from, surroundings around);

    // For as long as the loop runs.
    base::task<> run();

    // For /status: {"domain", "state": "awaiting" | "ordering" | "issued" | "failing" | "runner_gone", "certificate":
    // bool, "failures", "next_attempt", "last_error"}
    nlohmann::json status() const;
    std::uint64_t succeeded() const { return succeeded_; }
    std::uint64_t failed() const { return failed_; }

private:
    acme_time next_attempt() const;
    base::task<> attempt();
    void notice_end_of_runner();
    void fail(std::string why);
    void forget_failures();

    base::executor where_;
    std::unique_ptr<acme_runner> runner_;
    config::acme from_;
    surroundings around_;
    base::tick_timer timer_;
    std::minstd_rand chance_{std::random_device{}()};
    std::uint64_t succeeded_ = 0, failed_ = 0;
    unsigned failures_ = 0; // in a row
    // After a failure; not by the clock of certificates, which may be set meanwhile.
    std::chrono::steady_clock::time_point not_before_{};
    std::string last_error_;
    bool ordering_ = false, runner_gone_ = false;
};

} // namespace scoregate::app
